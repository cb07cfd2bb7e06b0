/** What an attacker in the laboratory is asked to do (attacker.ts). */

/** Who the attacker says it is. */
export interface Identity {
  /** Hex of the device key's seed. */
  readonly seed: string
  readonly organization: string
  /** Base64: what it shows, and what it knows. */
  readonly envelopes: readonly string[]
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
