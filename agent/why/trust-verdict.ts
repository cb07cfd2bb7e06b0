/** What is wrong before any path: membership, policy, clocks. */
import { theirsOf, type WhyFacts } from './facts.ts'
import type { Verdict } from './verdict-code.ts'
import { duration, reachedBy } from './wording.ts'

/** Clocks that differ by more are said to; by 300 s devices refuse each other (SPEC §7.1, §8.4). */
const CLOCK_MS = 60_000

type Rule = (facts: WhyFacts) => Verdict | undefined

const RULES: readonly Rule[] = [
  ownMembership,
  policy,
  closed,
  revoked,
  expired,
  notMember,
  clock,
  refused,
]

/** Undefined: both are members who understand each other. */
export function trustVerdict(facts: WhyFacts): Verdict | undefined {
  for (const rule of RULES) {
    const verdict = rule(facts)
    if (verdict !== undefined) return verdict
  }
  return undefined
}

function ownMembership({ self, ownStanding }: WhyFacts): Verdict | undefined {
  if (ownStanding === undefined) return undefined
  const why: Partial<Record<string, string>> = {
    revoked: 'it was removed in the registry',
    expired: 'its certificate has ended',
  }
  return {
    code: 'self-not-member',
    sentence: `${self.name}, this device, is no member of the organization: ${why[ownStanding] ?? ownStanding}.`,
    advice: `On ${self.name} restart nexd up while the registry can be reached, or have an admin let it in again.`,
  }
}

function policy(facts: WhyFacts): Verdict | undefined {
  const { self, peer, ours } = facts
  const theirs = theirsOf(facts)
  const names = [
    ...(ours.policyUnderstood ? [] : [self.name]),
    ...(theirs === undefined || theirs.policyUnderstood ? [] : [peer.name]),
  ]
  if (names.length === 0) return undefined
  const who = names.join(' and ')
  return {
    code: 'policy-not-understood',
    sentence: `Nothing passes at ${who}: the manifest has a policy of a version that its nexd does not know.`,
    advice: `Upgrade nexd on ${who}.`,
  }
}

function closed({ self, peer, policy: { ours, theirs } }: WhyFacts): Verdict | undefined {
  const at =
    ours.state === 'closed' ? self.name : theirs?.state === 'closed' ? peer.name : undefined
  if (at === undefined) return undefined
  const reason = at === self.name && ours.reason !== undefined ? ` (${ours.reason})` : ''
  return {
    code: 'policy-closed',
    sentence: `Nothing passes at ${at}: the policy could not be applied there${reason}.`,
    advice: `Look for policy.closed in the log of nexd on ${at}; what passes is opened again as soon as the policy is applied.`,
  }
}

function revoked({ peer, standing }: WhyFacts): Verdict | undefined {
  if (standing !== 'revoked') return undefined
  return {
    code: 'revoked',
    sentence: `${peer.name} was removed from the organization: its certificate is revoked, and every member drops it.`,
    advice: `If that was a mistake, enrol it again: nexd up on ${peer.name}, and approve it in the registry.`,
  }
}

function expired(facts: WhyFacts): Verdict | undefined {
  const { peer, standing, certificate, now } = facts
  if (standing === undefined || certificate === undefined || certificate.notAfter > now) {
    return undefined
  }
  const ago = duration((now - certificate.notAfter) * 1000)
  return {
    code: 'expired',
    sentence: `The certificate of ${peer.name} ended ${ago} ago and was not renewed: it is no member until then.`,
    advice: `Check that ${peer.name} is on and reaches the registry; nexd up there renews it.`,
  }
}

function notMember({ peer, standing }: WhyFacts): Verdict | undefined {
  if (standing === undefined) return undefined
  const why =
    standing === 'unknown-issuer'
      ? 'the issuer of its certificate is not listed in the manifest'
      : standing === 'beyond-issuer'
        ? 'its certificate goes beyond what its issuer may sign'
        : `its certificate is not believed (${standing})`
  return {
    code: 'not-member',
    sentence: `${peer.name} is no member: ${why}.`,
    advice: `Enrol ${peer.name} again with nexd up.`,
  }
}

function clock({ self, peer, reply, ours }: WhyFacts): Verdict | undefined {
  if (reply.kind === 'not-connected' && reply.refusal?.startsWith('clock')) {
    return {
      code: 'clock',
      sentence: `The clocks of ${self.name} and ${peer.name} are more than 5 minutes apart, so they refuse each other.`,
      advice: `Run date -u on both, and set the one that is wrong.`,
    }
  }
  if (reply.kind !== 'answered') return undefined
  const { clockAheadMs, clockErrorMs } = reply
  if (Math.abs(clockAheadMs) - clockErrorMs <= CLOCK_MS) return undefined
  const side = clockAheadMs > 0 ? 'ahead of' : 'behind'
  return {
    code: 'clock',
    sentence: `${peer.name} is reached ${reachedBy(ours, peer.name)}, but its clock is ${duration(clockAheadMs)} ${side} that of ${self.name}.`,
    advice: `Run date -u on both, and set the one that is wrong: from 5 minutes on they refuse each other.`,
  }
}

function refused({ self, peer, reply }: WhyFacts): Verdict | undefined {
  if (reply.kind !== 'not-connected' || reply.refusal === undefined) return undefined
  return {
    code: 'refused',
    sentence: `${self.name} refused ${peer.name} lately: ${reply.refusal}.`,
    advice: `Compare the versions of nexd on both, and look for mesh.peer-refused in the log of ${self.name}.`,
  }
}
