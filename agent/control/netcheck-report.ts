/** What `nexctl netcheck` is answered: the network as this device finds it. */
import { z } from 'zod'
import { NAT_ANSWERS, NAT_FILTERINGS, NAT_MAPPINGS, UDP_STATES } from '../../protocol/nat-report.ts'

export const LIFETIME = z.object({
  state: z.enum(['measured', 'running', 'failed']),
  /** Seconds; the longest wait that an unused mapping outlived. */
  atLeast: z.number().optional(),
  /** Seconds; the shortest wait that it did not outlive, where one was found. */
  lessThan: z.number().optional(),
  /** Of the last measurement, seconds. */
  secondsAgo: z.number().optional(),
  /** The server it was measured with. */
  server: z.string().optional(),
  /** Of the measurement that runs, seconds. */
  endsWithin: z.number().optional(),
  /** Why the last measurement failed, for people. */
  reason: z.string().optional(),
})

export const NETWORK_FAMILY = z.object({
  family: z.union([z.literal(4), z.literal(6)]),
  /** The host's own, outside the tunnel. */
  addresses: z.array(z.string()),
  /** Is there a default route? */
  gateway: z.boolean(),
  udp: z.enum(UDP_STATES),
  mapping: z.enum(NAT_MAPPINGS),
  /** Could no single observer have brought the mapping about by lying? */
  mappingProved: z.boolean(),
  filtering: z.enum(NAT_FILTERINGS),
  hairpinning: z.enum(NAT_ANSWERS),
  portPreserved: z.enum(NAT_ANSWERS),
  /** What two observers at least see us as. */
  mapped: z.string().optional(),
  observations: z.array(
    z.object({
      /** The endpoint that was asked. */
      observer: z.string(),
      /** A device's name, or `STUN server`. */
      by: z.string(),
      mapped: z.string(),
      secondsAgo: z.number(),
    }),
  ),
  lifetime: LIFETIME.optional(),
  verdict: z.string(),
})
export type NetworkFamilyReport = z.output<typeof NETWORK_FAMILY>

export const NETCHECK = z.object({
  families: z.array(NETWORK_FAMILY),
  servers: z.array(
    z.object({
      kind: z.enum(['stun', 'rendezvous', 'registry']),
      /** An endpoint, a multiaddr or a URL. */
      address: z.string(),
      protocol: z.enum(['udp', 'tcp']),
      reachable: z.boolean(),
      /** Milliseconds. */
      roundTripMs: z.number().optional(),
    }),
  ),
  /** What the gateway was asked for, where this device asks. */
  portMapping: z.record(z.string(), z.unknown()).optional(),
  clock: z.object({
    /** Seconds by which the registry's clock is ahead of ours. */
    registryAhead: z.number().optional(),
    /** Seconds by which the newest statement of a peer is ahead of our clock; absent: none is. */
    peersAhead: z.number().optional(),
  }),
})
export type NetcheckReport = z.output<typeof NETCHECK>

export const LIFETIME_STARTED = z.object({
  /** Of each family that has a server to measure with; seconds at most. */
  started: z.array(
    z.object({ family: z.union([z.literal(4), z.literal(6)]), endsWithin: z.number() }),
  ),
})
export type LifetimeStarted = z.output<typeof LIFETIME_STARTED>
