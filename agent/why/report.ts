/** Why report: what the local API answers, both sides' whole evidence with the verdict. */
import { z } from 'zod'
import { formatEndpoint } from '../../protocol/address.ts'
import type { Evidence } from '../../protocol/evidence.ts'
import type { PolicyReach } from '../../protocol/policy-reach.ts'
import type { EnforcementStatus } from '../policy-enforcement.ts'
import { theirsOf, type WhyFacts } from './facts.ts'
import type { PolicyFacts } from './policy-facts.ts'
import { VERDICT_CODES, type Verdict } from './verdict-code.ts'

const NAMED = z.object({ name: z.string(), deviceId: z.string() })
/** Milliseconds; absent: never. */
const AGO = z.number().optional()

const PAIR = z.object({
  endpoint: z.string(),
  kind: z.string(),
  sent: z.number(),
  answered: z.number(),
  received: z.number(),
  roundTripMs: z.number().optional(),
  sentAgoMs: AGO,
  answeredAgoMs: AGO,
  receivedAgoMs: AGO,
  /** Still left alone for so long: checks pass, WireGuard does not. */
  blockedForMs: z.number().optional(),
})

const SIDE = z.object({
  system: z.string(),
  /** ISO 8601, by its own clock. */
  now: z.string(),
  listenPort: z.number(),
  mtu: z.number(),
  /** `unanswered`: nobody has answered any UDP of it lately. */
  udp: z.string(),
  natMapping: z.string(),
  candidates: z.array(z.string()),
  path: z.object({
    phase: z.string(),
    sinceAgoMs: z.number(),
    heardAgoMs: AGO,
    endpoint: z.string().optional(),
    roundTripMs: z.number().optional(),
  }),
  pairs: z.array(PAIR),
  relay: z.object({
    available: z.boolean(),
    names: z.array(z.string()),
    sent: z.number(),
    answered: z.number(),
    received: z.number(),
    roundTripMs: z.number().optional(),
    answeredAgoMs: AGO,
  }),
  drops: z.array(z.object({ reason: z.string(), count: z.number() })),
  /** Absent: WireGuard has no such peer. */
  wireguard: z
    .object({
      handshakeAgoMs: AGO,
      missingForMs: AGO,
      receivedBytes: z.number(),
      sentBytes: z.number(),
      endpoint: z.string().optional(),
    })
    .optional(),
  /** ISO 8601. */
  certificateNotAfter: z.string().optional(),
  manifestSequence: z.number(),
  policyUnderstood: z.boolean(),
  links: z.array(z.string()),
  leftOut: z.array(z.object({ prefix: z.string(), reason: z.string() })),
})
export type WhySide = z.output<typeof SIDE>

const POLICY_SIDE = z.object({
  revision: z.number(),
  state: z.string(),
  reason: z.string().optional(),
})
const PASSES = ['ping', 'something', 'nothing'] as const

export const WHY = z.object({
  verdict: z.object({
    code: z.enum(VERDICT_CODES),
    sentence: z.string(),
    advice: z.string(),
  }),
  self: NAMED,
  peer: NAMED,
  /** What came of asking the peer; `reason` where it gave none of its evidence. */
  reply: z.object({ kind: z.string(), reason: z.string().optional() }),
  /** By how much the peer's clock is ahead of this device's, and by how much that may be wrong. */
  clock: z.object({ aheadMs: z.number(), errorMs: z.number() }).optional(),
  known: z.object({
    /** `member`, or why it is none. */
    standing: z.string(),
    certificate: z.object({ notBefore: z.string(), notAfter: z.string() }).optional(),
    update: z
      .object({
        ageSeconds: z.number(),
        natMapping: z.string(),
        candidates: z.array(z.string()),
        system: z.string(),
      })
      .optional(),
    policy: z.object({
      ours: POLICY_SIDE,
      /** Absent: it says nothing of it. */
      theirs: POLICY_SIDE.optional(),
      /** What may pass to the peer, and from it; absent: it cannot be told. */
      to: z.enum(PASSES).optional(),
      from: z.enum(PASSES).optional(),
    }),
    registry: z.object({ connected: z.boolean(), reachable: z.boolean() }),
    connections: z.number(),
  }),
  ours: SIDE,
  /** Absent: it could not be asked. */
  theirs: SIDE.optional(),
})
export type WhyReport = z.output<typeof WHY>

export function reportOf(facts: WhyFacts, verdict: Verdict): WhyReport {
  const { self, peer, reply, certificate, update, registry, connections } = facts
  const theirs = theirsOf(facts)
  return {
    verdict,
    self: { name: self.name, deviceId: self.device },
    peer: { name: peer.name, deviceId: peer.device },
    reply: { kind: reply.kind, ...reasonOf(reply) },
    ...(reply.kind === 'answered'
      ? { clock: { aheadMs: reply.clockAheadMs, errorMs: reply.clockErrorMs } }
      : {}),
    known: {
      standing: facts.standing ?? 'member',
      certificate: certificate && {
        notBefore: iso(certificate.notBefore),
        notAfter: iso(certificate.notAfter),
      },
      update: update && {
        ageSeconds: update.age,
        natMapping: update.natMapping,
        candidates: [...update.candidates],
        system: update.system,
      },
      policy: policyOf(facts.policy),
      registry,
      connections,
    },
    ours: sideOf(facts.ours),
    theirs: theirs && sideOf(theirs),
  }
}

function policyOf({ ours, theirs, to, from }: PolicyFacts): WhyReport['known']['policy'] {
  const side = ({ since: _, ...rest }: EnforcementStatus) => rest
  return {
    ours: side(ours),
    theirs: theirs && side(theirs),
    to: to && passes(to),
    from: from && passes(from),
  }
}

function passes({ ping, anything }: PolicyReach): (typeof PASSES)[number] {
  return ping ? 'ping' : anything ? 'something' : 'nothing'
}

function reasonOf(reply: WhyFacts['reply']): { reason?: string } {
  if (reply.kind === 'unanswered') return { reason: reply.reason }
  if (reply.kind === 'later') return { reason: `asked too often, again in ${reply.afterMs} ms` }
  if (reply.kind === 'not-connected' && reply.refusal !== undefined)
    return { reason: reply.refusal }
  return {}
}

function sideOf({ nowMs, ...evidence }: Evidence): WhySide {
  const { path, pairs, relay, wireguard, certificateNotAfter } = evidence
  return {
    ...evidence,
    now: new Date(nowMs).toISOString(),
    candidates: evidence.candidates.map((each) => `${each.kind} ${formatEndpoint(each)}`),
    path: { ...inMs(path), endpoint: path.endpoint && formatEndpoint(path.endpoint) },
    pairs: pairs.map(({ address, port, ...pair }) => ({
      endpoint: formatEndpoint({ address, port }),
      ...inMs(pair),
    })),
    relay: { ...inMs(relay), names: [...relay.names] },
    drops: [...evidence.drops],
    wireguard: wireguard && {
      ...wireguard,
      endpoint: wireguard.endpoint && formatEndpoint(wireguard.endpoint),
    },
    certificateNotAfter: certificateNotAfter === undefined ? undefined : iso(certificateNotAfter),
    links: [...evidence.links],
    leftOut: [...evidence.leftOut],
  }
}

function inMs<T extends { readonly roundTripUs: number | undefined }>({
  roundTripUs,
  ...rest
}: T): Omit<T, 'roundTripUs'> & { roundTripMs: number | undefined } {
  return { ...rest, roundTripMs: roundTripUs === undefined ? undefined : roundTripUs / 1000 }
}

function iso(moment: number): string {
  return new Date(moment * 1000).toISOString()
}
