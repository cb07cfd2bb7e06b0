/** What an agent knows of its spraying. One round at a time, of whichever side. */
import type { Endpoint, IpAddress } from '../../../protocol/address.ts'
import type { Candidate } from '../../../protocol/endpoint-update.ts'
import type { DeviceId } from '../../../protocol/keys.ts'
import type { NatReport } from '../../../protocol/nat-report.ts'
import type { Spray } from '../../../protocol/punch.ts'

/** What one side says of itself; of a peer what its signed endpoint update says. */
export interface SpraySide {
  readonly candidates: readonly Candidate[]
  readonly nat: readonly NatReport[]
}

export interface SprayPeer extends SpraySide {
  readonly device: DeviceId
  /** Since when a relay is its path; Infinity: another is, or none. */
  readonly relayedMs: number
  /** Of the direct path in use. */
  readonly direct: Endpoint | undefined
  /** Packets of users last passed; -Infinity: none did. */
  readonly packetsMs: number
}

/** What is so at the moment of a step. */
export interface SprayFacts {
  readonly own: SpraySide
  peers(): Iterable<SprayPeer>
  peer(device: DeviceId): SprayPeer | undefined
  /** PROBES random ports, all different. */
  ports(): readonly number[]
}

interface RoundBase {
  readonly device: DeviceId
  /** The hard side's public address. */
  readonly address: IpAddress
  /** When it, or this part of it, began. */
  readonly sinceMs: number
}

/** The hard side's. `target` is the easy side's mapped endpoint. */
export type HardRound =
  | (RoundBase & { readonly kind: 'asking'; readonly target: Endpoint })
  | (RoundBase & { readonly kind: 'opening'; readonly target: Endpoint })
  | (RoundBase & {
      readonly kind: 'open'
      readonly target: Endpoint
      /** Sent in all passes. */
      readonly openers: number
      readonly batchMs: number
    })

/** The easy side's. */
export type EasyRound =
  | (RoundBase & { readonly kind: 'ready' })
  | (RoundBase & {
      readonly kind: 'spraying'
      readonly ports: readonly number[]
      readonly sent: number
      readonly batchMs: number
    })

export type Round = HardRound | EasyRound

/** Another try of one peer. */
export interface Retry {
  /** Rounds since a path has lasted. */
  readonly failures: number
  /** When the last of them found a path; Infinity: it did not. */
  readonly foundMs: number
  readonly notBeforeMs: number
}

/** A path that the hard side found: its socket stays, so that nobody else gets the port. */
export interface HeldPath {
  readonly device: DeviceId
  readonly endpoint: Endpoint
  /** When the path was last in use, or found. */
  readonly usedMs: number
  readonly wasUsed: boolean
}

export interface SprayState {
  readonly round: Round | undefined
  /** When the last round in which packets were sent ended; -Infinity: none did. */
  readonly endedMs: number
  readonly retries: ReadonlyMap<DeviceId, Retry>
  readonly held: readonly HeldPath[]
}

export const NO_SPRAY: SprayState = {
  round: undefined,
  endedMs: -Infinity,
  retries: new Map(),
  held: [],
}

export type SprayInput =
  | { readonly kind: 'tick' }
  /** Of the peer's punch. */
  | { readonly kind: 'told'; readonly device: DeviceId; readonly spray: Spray }
  /** The sockets that `open` asked for are there, or can't be had. */
  | { readonly kind: 'opened'; readonly device: DeviceId }
  | { readonly kind: 'failed'; readonly device: DeviceId; readonly reason: string }
  /** An authentic message of the peer reached the socket of that index, from `from`. */
  | {
      readonly kind: 'hit'
      readonly device: DeviceId
      readonly socket: number
      readonly from: Endpoint
    }
  /** The peer answered a check of ours at that endpoint. */
  | { readonly kind: 'answered'; readonly device: DeviceId; readonly from: Endpoint }

export type SprayAction =
  | { readonly kind: 'say'; readonly device: DeviceId; readonly spray: Spray }
  /** Open SPRAY_SOCKETS sockets; `opened` or `failed` follows. */
  | { readonly kind: 'open'; readonly device: DeviceId; readonly target: Endpoint }
  /** A check to the target from each of these sockets. */
  | {
      readonly kind: 'send-openers'
      readonly device: DeviceId
      readonly target: Endpoint
      readonly first: number
      readonly count: number
    }
  /** A check from WireGuard's port. */
  | { readonly kind: 'send-probe'; readonly device: DeviceId; readonly to: Endpoint }
  /** All sockets of the round. */
  | { readonly kind: 'close' }
  /** All but this one, by which the path to `target` leads from now on. */
  | {
      readonly kind: 'hold'
      readonly device: DeviceId
      readonly target: Endpoint
      readonly socket: number
    }
  /** The path found earlier is dead. */
  | { readonly kind: 'release'; readonly device: DeviceId; readonly endpoint: Endpoint }
  /** The path machine shall check this endpoint. */
  | { readonly kind: 'check'; readonly device: DeviceId; readonly endpoint: Endpoint }
  | {
      readonly kind: 'report'
      readonly event: 'started' | 'found' | 'failed'
      readonly device: DeviceId
      readonly side: 'hard' | 'easy'
      /** Packets sent for it. */
      readonly packets: number
      readonly ms: number
      readonly reason?: string
    }

export interface SprayStep {
  readonly state: SprayState
  readonly actions: readonly SprayAction[]
}
