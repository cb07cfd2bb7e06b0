/** Evidence: what one side knows of the path between it and one other device (SPEC §11.2). Ages, not moments:
 *  two clocks need not agree. */
import type { Endpoint, Prefix } from './address.ts'
import type { Candidate, NatMapping } from './endpoint-update.ts'
import type { Seconds } from './time.ts'

/** Orders are the wire's, never reused. A value of a later version reads as the first. */
export const UDP_REACHES = ['unknown', 'answered', 'unanswered'] as const
export const PATH_PHASES = ['unknown', 'offline', 'idle', 'connecting', 'relay', 'direct'] as const
export const PAIR_KINDS = ['peer-reflexive', 'host', 'server-reflexive', 'port-mapped'] as const
export const MESH_LINK_KINDS = ['direct', 'overlay', 'circuit'] as const
export const LEFT_OUT_REASONS = [
  'other',
  'held by another device',
  'overlaps a local network',
] as const

/** Connectivity checks to and from one endpoint of the other device, since this side started. */
export interface PairEvidence extends Endpoint {
  readonly kind: (typeof PAIR_KINDS)[number]
  readonly sent: number
  readonly answered: number
  /** Checks of the other device that came from there. */
  readonly received: number
  /** Microseconds, of the last answer. */
  readonly roundTripUs: number | undefined
  readonly sentAgoMs: number | undefined
  readonly answeredAgoMs: number | undefined
  readonly receivedAgoMs: number | undefined
  /** For how long it is still left alone, for checks pass and WireGuard does not; undefined: it is not. */
  readonly blockedForMs: number | undefined
}

export interface RelayedEvidence {
  /** A relay took the last datagram for the other device. */
  readonly available: boolean
  /** Names of relays that may reach it, the best first. */
  readonly names: readonly string[]
  readonly sent: number
  readonly answered: number
  readonly received: number
  readonly roundTripUs: number | undefined
  readonly answeredAgoMs: number | undefined
}

export interface PathEvidence {
  readonly phase: (typeof PATH_PHASES)[number]
  readonly sinceAgoMs: number
  /** Anything authenticated by the other device; undefined: never. */
  readonly heardAgoMs: number | undefined
  /** In use, where the phase is direct. */
  readonly endpoint: Endpoint | undefined
  readonly roundTripUs: number | undefined
}

export interface WireguardEvidence {
  /** Undefined: never. */
  readonly handshakeAgoMs: number | undefined
  /** For how long a session has been missing though there is a path; undefined: it is not. */
  readonly missingForMs: number | undefined
  readonly receivedBytes: number
  readonly sentBytes: number
  /** Undefined: the agent carries its packets. */
  readonly endpoint: Endpoint | undefined
}

/** Datagrams from the other device's endpoints that were dropped. */
export interface DropEvidence {
  readonly reason: string
  readonly count: number
}

/** An address or route of the other device that this side does not send to it. */
export interface LeftOutEvidence {
  readonly prefix: Prefix
  readonly reason: (typeof LEFT_OUT_REASONS)[number]
}

export interface Evidence {
  /** `nexd 0.1.0, linux`. */
  readonly system: string
  /** Wall clock, milliseconds since the epoch. */
  readonly nowMs: number
  readonly listenPort: number
  /** Bytes. */
  readonly mtu: number
  /** Has any UDP that this side sent been answered lately, by anybody? */
  readonly udp: (typeof UDP_REACHES)[number]
  readonly natMapping: NatMapping
  readonly candidates: readonly Candidate[]
  readonly path: PathEvidence
  readonly pairs: readonly PairEvidence[]
  readonly relay: RelayedEvidence
  readonly drops: readonly DropEvidence[]
  /** Undefined: WireGuard has no such peer. */
  readonly wireguard: WireguardEvidence | undefined
  /** Of this side's own certificate; undefined: it is no member. */
  readonly certificateNotAfter: Seconds | undefined
  /** 0: none is believed. */
  readonly manifestSequence: number
  readonly policyUnderstood: boolean
  /** Mesh connections between the two. */
  readonly links: readonly (typeof MESH_LINK_KINDS)[number][]
  readonly leftOut: readonly LeftOutEvidence[]
}
