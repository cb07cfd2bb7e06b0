/** What an attacker in the laboratory is asked to do (attacker.ts). */

import type { DeviceId } from '../../protocol/keys.ts'

/** Who the attacker says it is. */
export interface Identity {
  /** Hex of the device key's seed. */
  readonly seed: string
  readonly organization: string
  /** Base64: what it shows, and what it knows. */
  readonly envelopes: readonly string[]
  /** Hex of the private WireGuard key, of one that enrolled. */
  readonly wireguard?: string
}

/** Datagrams to an endpoint, whatever their source. */
export type UdpAttack = {
  readonly kind: 'udp'
  readonly to: string
  readonly count: number
  /** The endpoint that they seem to come from; missing: the attacker's own. */
  readonly source?: string
} & (
  | { readonly with: 'own checks'; readonly device: DeviceId }
  | { readonly with: 'forged checks'; readonly device: DeviceId; readonly named: DeviceId }
  | { readonly with: 'bare requests' }
  | { readonly with: 'relay datagrams' }
)

/** What was sent, bytes of datagrams, and what came back to the source. */
export interface UdpSent {
  readonly packets: number
  readonly bytes: number
  readonly answers: number
}

export const SPEECHES = ['hello', 'sync', 'gossip', 'relay', 'punch'] as const
export const BROKEN = ['truncated', 'oversized', 'flipped', 'replayed'] as const
export type Speech = (typeof SPEECHES)[number] | (typeof BROKEN)[number]

export type Errand =
  | { readonly kind: 'key' }
  | {
      readonly kind: 'enrol'
      readonly registry: string
      readonly key: string
      readonly name: string
    }
  /** Dials each target so many times and speaks; resolves when all connections have ended. */
  | {
      readonly kind: 'intrude'
      readonly as: Identity
      readonly targets: readonly string[]
      readonly speech: Speech
    }
  /** Becomes a member that is connected to the targets, and tells all that it learns from the first. */
  | { readonly kind: 'join'; readonly as: Identity; readonly targets: readonly string[] }
  | { readonly kind: 'nonsense'; readonly count: number; readonly victim: string }
  | { readonly kind: 'replay'; readonly envelopes: readonly string[] }
  | { readonly kind: 'relay'; readonly count: number }
  | { readonly kind: 'streams'; readonly count: number }
  | { readonly kind: 'garbage' }
  /** Says so often that it is to be found at the victim's address, by gossip and by punches. */
  | { readonly kind: 'point'; readonly count: number; readonly victim: string }
  /** Frames to the device by the relays among the targets, and to nobody, without reading what comes back. */
  | { readonly kind: 'deluge'; readonly count: number; readonly device: DeviceId }
  | UdpAttack
