/** Facts for tests of verdicts: laptop asks about phone, and all is well. */
import type { WhyFacts } from '../../../agent/why/facts.ts'
import type { VerdictCode } from '../../../agent/why/verdict-code.ts'
import { parseEndpoint, parsePrefix } from '../../../protocol/address.ts'
import type { Evidence, PathEvidence } from '../../../protocol/evidence.ts'
import type { PolicyReach } from '../../../protocol/policy-reach.ts'
import { seconds } from '../../../protocol/time.ts'
import { healthyEvidence, NEAR, pairEvidence } from '../../support/evidence.ts'
import { NOON, testOrganization } from '../../support/organization.ts'

const acme = testOrganization('acme')

export const ALL_PASSES: PolicyReach = { ping: true, anything: true, leaves: true, enters: true }

/** Changes of either side's evidence, of what was asked, and of the rest. `theirs` undefined: the reply says why
 *  there is none. */
export function factsWith({
  ours = {},
  theirs = {},
  clockAheadMs = 3,
  ...change
}: {
  readonly ours?: Partial<Evidence>
  readonly theirs?: Partial<Evidence>
  readonly clockAheadMs?: number
} & Partial<Omit<WhyFacts, 'ours'>> = {}): WhyFacts {
  return {
    now: NOON,
    self: { name: 'laptop', device: acme.device('laptop').id },
    peer: { name: 'phone', device: acme.device('phone').id },
    ours: healthyEvidence(ours),
    reply: {
      kind: 'answered',
      evidence: healthyEvidence(theirs),
      clockAheadMs,
      clockErrorMs: 20,
    },
    ownStanding: undefined,
    standing: undefined,
    certificate: { notBefore: seconds(NOON - 3600), notAfter: seconds(NOON + 86_400) },
    update: {
      age: 7200,
      natMapping: 'endpoint-independent',
      candidates: ['host 192.168.2.10:51820'],
      system: 'nexd 0.1.0, linux',
    },
    policy: {
      ours: { revision: 3, state: 'enforced', since: NOON },
      theirs: { revision: 3, state: 'enforced', since: NOON },
      to: ALL_PASSES,
      from: ALL_PASSES,
    },
    registry: { connected: true, reachable: true },
    connections: 3,
    ...change,
  }
}

/** What is so, the verdict's code, the whole sentence or a part of it, a part of the advice. */
export type Case = readonly [string, WhyFacts, VerdictCode, string | RegExp, RegExp]

export const path = (
  phase: PathEvidence['phase'],
  change: Partial<PathEvidence> = {},
): PathEvidence => ({
  phase,
  sinceAgoMs: 60_000,
  heardAgoMs: 2000,
  endpoint: phase === 'direct' ? NEAR : undefined,
  roundTripUs: phase === 'direct' || phase === 'relay' ? 61_000 : undefined,
  ...change,
})
export const wireguard = (missingForMs: number | undefined): Evidence['wireguard'] => ({
  handshakeAgoMs: undefined,
  missingForMs,
  receivedBytes: 0,
  sentBytes: 2000,
  endpoint: NEAR,
})
export const RELAYED = { path: path('relay'), pairs: [pairEvidence({ answered: 0, received: 0 })] }
export const HARD = { ...RELAYED, natMapping: 'address-and-port-dependent' as const }
export const NO_LINK = { kind: 'not-connected', refusal: undefined } as const
export const NO_WAY = path('offline', { heardAgoMs: 5_400_000 })
export const SHARED = { kind: 'server-reflexive' as const, ...parseEndpoint('203.0.113.5:51820') }
export const LEFT_OUT = [
  { prefix: parsePrefix('10.0.0.0/24'), reason: 'overlaps a local network' as const },
]
