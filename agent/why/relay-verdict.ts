/** Why there is no direct path: the NATs, the firewalls, or only the time it takes. */
import { formatEndpoint } from '../../protocol/address.ts'
import type { NatMapping } from '../../protocol/endpoint-update.ts'
import type { Evidence } from '../../protocol/evidence.ts'
import { theirsOf, type WhyFacts } from './facts.ts'
import type { Verdict, VerdictCode } from './verdict-code.ts'
import { duration, reachedBy } from './wording.ts'

/** Checks get so long to find a direct path before it is said that there is none, milliseconds. */
const SETTLED_MS = 10_000
const MAP_PORT = 'switch on UPnP, NAT-PMP or PCP in the router of'

/** One side, as far as it is known; `evidence` undefined: it was not to be asked. */
interface Side {
  readonly name: string
  readonly natMapping: NatMapping
  readonly evidence: Evidence | undefined
}

/** Why it is not direct, as the second half of a sentence. */
interface Reason {
  readonly code: VerdictCode
  readonly because: string
  readonly advice: string
}

type Rule = (us: Side, them: Side, facts: WhyFacts) => Reason | undefined

const RULES: readonly Rule[] = [udpBlocked, settling, hardNats, noCandidates, sameNat, filtered]

/** Total. */
export function relayVerdict(facts: WhyFacts): Verdict {
  const { self, peer, ours, update } = facts
  const theirs = theirsOf(facts)
  const us: Side = { name: self.name, natMapping: ours.natMapping, evidence: ours }
  const them: Side = {
    name: peer.name,
    natMapping: theirs?.natMapping ?? update?.natMapping ?? 'unknown',
    evidence: theirs,
  }
  const reason = reasonOf(us, them, facts)
  if (ours.path.phase === 'relay') {
    return {
      code: reason.code,
      sentence: `${peer.name} is reached ${reachedBy(ours, peer.name)}: ${reason.because}.`,
      advice: reason.advice,
    }
  }
  if (reason.code === 'settling') {
    return {
      code: 'settling',
      sentence: `${self.name} is looking for a path to ${peer.name}: ${reason.because}.`,
      advice: reason.advice,
    }
  }
  return {
    code: 'no-relay',
    sentence: `${peer.name} is not reached: no relay carries to it, and ${reason.because}.`,
    advice: `Give a device that both reach the relay role, or bring the registry up. Then: ${reason.advice}`,
  }
}

function reasonOf(us: Side, them: Side, facts: WhyFacts): Reason {
  for (const rule of RULES) {
    const reason = rule(us, them, facts)
    if (reason !== undefined) return reason
  }
  return unanswered(us, them, facts)
}

function udpBlocked(us: Side, them: Side): Reason | undefined {
  const blocked = [us, them].filter(({ evidence }) => evidence?.udp === 'unanswered')
  if (blocked.length === 0) return undefined
  const names = blocked.map(({ name }) => name).join(' and ')
  const [first] = blocked
  return {
    code: 'udp-blocked',
    because: `no UDP that ${names} ${blocked.length > 1 ? 'send' : 'sends'} is answered by anybody, so a firewall there blocks it`,
    advice: `Let UDP out of the network of ${names} (from port ${first?.evidence?.listenPort}, to any); until then a relay over TCP is used.`,
  }
}

/** Both sides get some time: for the later of the two to begin. */
function settling(us: Side, them: Side): Reason | undefined {
  const begun = [us, them].map(({ evidence }) => evidence?.path.sinceAgoMs ?? Infinity)
  const sinceMs = Math.min(...begun)
  if (sinceMs > SETTLED_MS) return undefined
  return {
    code: 'settling',
    because: `checks for a direct path have run for ${duration(sinceMs)} only`,
    advice: 'Ask again in 10 s.',
  }
}

function isHard({ natMapping }: Side): boolean {
  return natMapping === 'address-dependent' || natMapping === 'address-and-port-dependent'
}

function hardNats(us: Side, them: Side): Reason | undefined {
  const hard = [us, them].filter(isHard)
  const [one] = hard
  if (one === undefined) return undefined
  if (hard.length === 2) {
    return {
      code: 'hard-nats',
      because: `the NATs of ${us.name} (${us.natMapping} mapping) and ${them.name} (${them.natMapping} mapping) both use another port for each destination, so neither can know where to send`,
      advice: `To make it direct, ${MAP_PORT} ${us.name} or of ${them.name}, or give one of them a public address or IPv6.`,
    }
  }
  const other = one === us ? them : us
  return {
    code: 'hard-nat',
    because: `the NAT of ${one.name} (${one.natMapping} mapping) uses another port for each destination, and what guards ${other.name} lets in only what it has sent to`,
    advice: `To make it direct, ${MAP_PORT} either side, or let UDP port ${other.evidence?.listenPort ?? 51820} into ${other.name}, or start nexd with --spray on both.`,
  }
}

function noCandidates(us: Side, them: Side, { update }: WhyFacts): Reason | undefined {
  const counts: [Side, number | undefined][] = [
    [us, us.evidence?.candidates.length],
    [them, them.evidence?.candidates.length ?? update?.candidates.length],
  ]
  const without = counts.filter(([, count]) => count === 0).map(([{ name }]) => name)
  if (without.length === 0) return undefined
  const names = without.join(' and ')
  return {
    code: 'no-candidates',
    because: `${names} knows no address of its own to be reached at`,
    advice: `Check that ${names} has an address on a network other than the tunnel, and that STUN (UDP 3478 of the registry) is answered.`,
  }
}

function sameNat(us: Side, them: Side): Reason | undefined {
  const publics = (side: Side): readonly string[] =>
    (side.evidence?.candidates ?? [])
      .filter(({ kind }) => kind === 'server-reflexive')
      .map(({ address }) => address)
  const shared = publics(us).find((address) => publics(them).includes(address))
  if (shared === undefined) return undefined
  return {
    code: 'same-nat',
    because: `both are behind the NAT ${shared}, which does not turn packets back inside, and they do not reach each other's local addresses`,
    advice: `Let the two local networks reach each other (UDP port ${us.evidence?.listenPort}), or switch on NAT hairpinning (loopback) in the router.`,
  }
}

/** Whose checks arrive where? */
function filtered(us: Side, them: Side): Reason | undefined {
  if (us.evidence === undefined || them.evidence === undefined) return undefined
  const sent = (side: Evidence) => side.pairs.reduce((sum, pair) => sum + pair.sent, 0)
  const received = (side: Evidence) => side.pairs.reduce((sum, pair) => sum + pair.received, 0)
  if (sent(us.evidence) + sent(them.evidence) === 0) return undefined
  const [here, there] = [received(us.evidence), received(them.evidence)]
  const arrive =
    here > 0 && there > 0
      ? 'checks arrive both ways but their answers do not'
      : here > 0
        ? `checks of ${them.name} arrive at ${us.name}, none of ${us.name} at ${them.name}`
        : there > 0
          ? `checks of ${us.name} arrive at ${them.name}, none of ${them.name} at ${us.name}`
          : `none of ${sent(us.evidence)} checks of ${us.name} and ${sent(them.evidence)} of ${them.name} arrived`
  const isPassing = [us, them].every(({ evidence }) => evidence?.udp === 'answered')
  const closed = here > 0 && there === 0 ? them : us
  const unknown = [us, them].filter(({ natMapping }) => natMapping === 'unknown')
  const names = unknown.map(({ name }) => name).join(' and ')
  const cause =
    unknown.length === 0
      ? 'a firewall between them drops it'
      : `a firewall drops it, or a NAT of ${names} uses another port for each destination (too few others have seen it to tell)`
  const mapping = unknown.length === 0 ? '' : `, or ${MAP_PORT} ${names}`
  return {
    code: 'filtered',
    because: `${isPassing ? 'UDP passes at both, but ' : ''}${arrive}: ${cause}`,
    advice: `Let UDP port ${closed.evidence?.listenPort} into ${closed.name}${addressHint(closed)}${mapping}.`,
  }
}

function addressHint({ evidence }: Side): string {
  const own = evidence?.candidates.find(({ kind }) => kind !== 'host') ?? evidence?.candidates[0]
  return own === undefined ? '' : ` (it is at ${formatEndpoint(own)})`
}

/** Nothing more is known, mostly because the peer was not to be asked. */
function unanswered(_us: Side, them: Side, { peer, reply, ours }: WhyFacts): Reason {
  const sent = ours.pairs.reduce((sum, pair) => sum + pair.sent, 0)
  const answered = ours.pairs.reduce((sum, pair) => sum + pair.answered, 0)
  const side: Record<typeof reply.kind, string> = {
    answered: '',
    later: `; ${them.name} was asked too often to say more`,
    'not-understood': `; ${them.name} runs an older nexd that cannot be asked`,
    unanswered: `; ${them.name} did not answer when asked`,
    'not-connected': `; ${them.name} has no mesh connection to be asked by`,
  }
  return {
    code: 'relayed',
    because: `of ${sent} checks to its endpoints ${answered} were answered${side[reply.kind]}`,
    advice:
      reply.kind === 'not-understood'
        ? `Upgrade nexd on ${peer.name}, and ask again.`
        : `Run nexctl why on ${peer.name} as well.`,
  }
}
