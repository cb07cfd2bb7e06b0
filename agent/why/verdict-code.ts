/** Verdict codes: every answer that there is to why, for programs; the sentence is for people. */

export const VERDICT_CODES = [
  'direct',
  'half-direct',
  'settling',
  'idle',
  'udp-blocked',
  'hard-nats',
  'hard-nat',
  'same-nat',
  'no-candidates',
  'filtered',
  'wireguard-blocked',
  'relayed',
  'no-relay',
  'handshake-fails',
  'no-tunnel-peer',
  'manifest-behind',
  'left-out',
  'clock',
  'refused',
  'offline',
  'isolated',
  'silent',
  'self-not-member',
  'revoked',
  'expired',
  'not-member',
  'policy-not-understood',
  'policy-closed',
  'policy-denies',
] as const
export type VerdictCode = (typeof VERDICT_CODES)[number]

export interface Verdict {
  readonly code: VerdictCode
  readonly sentence: string
  /** What to do; always something, be it nothing. */
  readonly advice: string
}
