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
