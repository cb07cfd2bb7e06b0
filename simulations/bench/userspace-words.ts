/** What `bench:userspace` and its ends say to each other. */
import { z } from 'zod'

export const END_CONFIG = z.object({
  privateKey: z.string(),
  listenPort: z.number(),
  address: z.string(),
  peerKey: z.string(),
  peerAddress: z.string(),
  endpoint: z.string(),
})
export type EndConfig = z.output<typeof END_CONFIG>

/** Packets into the tunnel and out of it, and milliseconds of processor time, since the start. */
export const FIGURES = z.object({ sent: z.number(), received: z.number(), cpuMs: z.number() })

/** Of a device that waits for its peer. */
export const PROXY_END = END_CONFIG.omit({ endpoint: true }).extend({
  /** Of the service: on loopback, and on the device's address. */
  port: z.number(),
})
export type ProxyEnd = z.output<typeof PROXY_END>
