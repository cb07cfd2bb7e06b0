/** What is wrong, or right, with the path between two members. */
import type { Evidence } from '../../protocol/evidence.ts'
import { blocked } from './blocked-verdict.ts'
import { theirsOf, type WhyFacts } from './facts.ts'
import { relayVerdict } from './relay-verdict.ts'
import type { Verdict } from './verdict-code.ts'
import { duration, milliseconds, reachedBy } from './wording.ts'

/** A peer is there if it was heard of within this. Milliseconds; a path at rest is checked each 15 s. */
const HEARD_MS = 40_000
/** WireGuard gets so long for a handshake before it is missed, milliseconds. */
const HANDSHAKE_MS = 10_000

type Rule = (facts: WhyFacts) => Verdict | undefined

const RULES: readonly Rule[] = [
  isolated,
  offline,
  silent,
  tunnelPeer,
  handshake,
  manifest,
  leftOut,
  denied,
  blocked,
  halfDirect,
  direct,
  idle,
]

/** Total: where no rule holds it is about the relay, or that there is none. */
export function pathVerdict(facts: WhyFacts): Verdict {
  for (const rule of RULES) {
    const verdict = rule(facts)
    if (verdict !== undefined) return verdict
  }
  return relayVerdict(facts)
}

/** Some path to the peer works, as this side sees it. */
function isReached({ ours: { path } }: WhyFacts): boolean {
  const isHeard = path.heardAgoMs !== undefined && path.heardAgoMs <= HEARD_MS
  return isHeard && (path.phase === 'direct' || path.phase === 'relay')
}

function isThere(facts: WhyFacts): boolean {
  return facts.reply.kind !== 'not-connected' || isReached(facts)
}

function isolated(facts: WhyFacts): Verdict | undefined {
  const { self, ours, connections, registry } = facts
  if (isThere(facts) || connections > 0 || registry.connected || ours.udp === 'answered') {
    return undefined
  }
  return {
    code: 'isolated',
    sentence: `${self.name}, this device, reaches nobody: no member and no registry is connected, and no UDP is answered.`,
    advice: `Check the network of ${self.name}: address, default route, firewall.`,
  }
}

function offline(facts: WhyFacts): Verdict | undefined {
  if (isThere(facts)) return undefined
  const { peer, ours, update, registry, connections } = facts
  const { heardAgoMs } = ours.path
  const heard =
    heardAgoMs === undefined
      ? 'nothing was heard of it since nexd started here'
      : `last heard ${duration(heardAgoMs)} ago`
  const said =
    update === undefined
      ? 'it has said nowhere where it is'
      : `it said ${duration(update.age * 1000)} ago where it is`
  const others = `${registry.connected ? 'the registry is' : 'the registry is not'} connected, and ${connections} mesh connections are up`
  return {
    code: 'offline',
    sentence: `${peer.name} is offline: ${heard}, ${said}; ${others}.`,
    advice: `Check that ${peer.name} is on and has a network; on it: nexctl status.`,
  }
}

/** Connected by the mesh, and it says nothing. */
function silent(facts: WhyFacts): Verdict | undefined {
  const { peer, reply } = facts
  if (reply.kind !== 'unanswered' || isReached(facts)) return undefined
  return {
    code: 'silent',
    sentence: `${peer.name} is connected but does not answer, and no path to it works: ${reply.reason}.`,
    advice: `Ask again in a minute; if it stays so, look at the log of nexd on ${peer.name}.`,
  }
}

function tunnelPeer(facts: WhyFacts): Verdict | undefined {
  const { self, peer, ours } = facts
  const theirs = theirsOf(facts)
  if (theirs === undefined) return undefined
  const without =
    ours.wireguard === undefined
      ? [self.name, peer.name]
      : theirs.wireguard === undefined
        ? [peer.name, self.name]
        : undefined
  if (without === undefined) return undefined
  const [side, other] = without
  return {
    code: 'no-tunnel-peer',
    sentence: `WireGuard at ${side} does not have ${other} as a peer, although both are members.`,
    advice: `Look for tunnel.configure-failed in the log of nexd on ${side}.`,
  }
}

function handshake(facts: WhyFacts): Verdict | undefined {
  const { self, peer, ours } = facts
  const theirs = theirsOf(facts)
  if (!isReached(facts)) return undefined
  const missing = [ours, theirs].some((side) => (side?.wireguard?.missingForMs ?? 0) > HANDSHAKE_MS)
  if (!missing) return undefined
  const lasting = Math.max(...[ours, theirs].map((side) => side?.wireguard?.missingForMs ?? 0))
  return {
    code: 'handshake-fails',
    sentence: `Checks pass between ${self.name} and ${peer.name} (${reachedBy(ours, peer.name)}), but no WireGuard handshake has for ${duration(lasting)}.`,
    advice: `Something on the way lets STUN pass and drops WireGuard (a firewall on UDP port ${ours.listenPort} or ${theirs?.listenPort ?? ours.listenPort}, or one that looks inside), or a key is an old one: restart nexd on ${peer.name}.`,
  }
}

function manifest(facts: WhyFacts): Verdict | undefined {
  const { self, peer, ours } = facts
  const theirs = theirsOf(facts)
  if (theirs === undefined || theirs.manifestSequence === ours.manifestSequence) return undefined
  const isOursOlder = ours.manifestSequence < theirs.manifestSequence
  const [older, newer] = isOursOlder ? [self.name, peer.name] : [peer.name, self.name]
  const [low, high] = [ours.manifestSequence, theirs.manifestSequence].toSorted((a, b) => a - b)
  return {
    code: 'manifest-behind',
    sentence: `${peer.name} is reached ${reachedBy(ours, peer.name)}, but ${older} has manifest ${low} and ${newer} has ${high}: ${older} acts on old rules.`,
    advice: `It should learn the newer one within seconds; if not, look for envelope.refused in the log of ${older}, and check its clock.`,
  }
}

function leftOut(facts: WhyFacts): Verdict | undefined {
  const { self, peer, ours } = facts
  const theirs = theirsOf(facts)
  const sides: [string, string, Evidence['leftOut']][] = [
    [self.name, peer.name, ours.leftOut],
    [peer.name, self.name, theirs?.leftOut ?? []],
  ]
  const side = sides.find(([, , list]) => list.length > 0)
  if (side === undefined || !isReached(facts)) return undefined
  const [at, of, list] = side
  const texts = list.map(({ prefix, reason }) => `${prefix} (${reason})`)
  return {
    code: 'left-out',
    sentence: `${peer.name} is reached ${reachedBy(ours, peer.name)}, but ${at} does not send to ${of}: ${texts.join(', ')}.`,
    advice: `Renumber the local network of ${at}, or have ${of} advertise another prefix.`,
  }
}

/** Ours, not theirs: who asks why wants to reach the peer. */
function denied(facts: WhyFacts): Verdict | undefined {
  const { self, peer, policy } = facts
  const { to, from, ours } = policy
  if (to === undefined || to.anything || !isThere(facts)) return undefined
  const why = !to.leaves
    ? `the rules of ${self.name} let nothing out to it`
    : !to.enters
      ? `the rules of ${peer.name} let nothing in from ${self.name}`
      : `what the rules of ${self.name} let out those of ${peer.name} do not let in`
  const back = from?.anything === true ? `; ${peer.name} may send to ${self.name}` : ''
  return {
    code: 'policy-denies',
    sentence: `${peer.name} is there, but the policy (revision ${ours.revision}) lets nothing pass to it: ${why}${back}.`,
    advice: `nexctl policy test '${self.name} -> ${peer.name} icmp' says by which rule; an admin may change the policy.`,
  }
}

function halfDirect(facts: WhyFacts): Verdict | undefined {
  const { self, peer, ours } = facts
  const theirs = theirsOf(facts)
  if (theirs === undefined) return undefined
  const isOurs = ours.path.phase === 'direct'
  if (isOurs === (theirs.path.phase === 'direct')) return undefined
  const [one, other, [far, near]] = isOurs
    ? [self.name, peer.name, [theirs, ours]]
    : [peer.name, self.name, [ours, theirs]]
  if (far.path.phase === 'idle') return undefined
  return {
    code: 'half-direct',
    sentence: `${one} reaches ${other} directly, ${other} reaches ${one} ${reachedBy(far, one)}: the path is changing, or a firewall lets checks pass one way only.`,
    advice: `Ask again in 10 s; if it stays so, let UDP port ${near.listenPort} into ${one}.`,
  }
}

function direct(facts: WhyFacts): Verdict | undefined {
  const { peer, ours } = facts
  const theirs = theirsOf(facts)
  if (ours.path.phase !== 'direct') return undefined
  const alone = theirs === undefined ? ` (as this side sees it: ${whyAlone(facts)})` : ''
  return {
    code: 'direct',
    sentence: `${peer.name} is reached ${reachedBy(ours, peer.name)}, for ${duration(ours.path.sinceAgoMs)}${alone}.`,
    advice: 'Nothing to do.',
  }
}

function whyAlone({ peer, reply }: WhyFacts): string {
  switch (reply.kind) {
    case 'not-understood':
      return `${peer.name} runs an older nexd that cannot be asked`
    case 'later':
      return `${peer.name} was asked too often`
    case 'not-connected':
      return `${peer.name} has no mesh connection`
    case 'unanswered':
    case 'answered':
      return `${peer.name} did not answer`
  }
}

function idle(facts: WhyFacts): Verdict | undefined {
  const { self, peer, ours } = facts
  if (ours.path.phase !== 'idle') return undefined
  const theirs = theirsOf(facts)
  const relay =
    ours.relay.roundTripUs === undefined
      ? ''
      : `; the relay is ready (${milliseconds(ours.relay.roundTripUs)})`
  const there = theirs === undefined ? '' : `${peer.name} is there, but `
  return {
    code: 'idle',
    sentence: `${there}nothing was sent between ${self.name} and ${peer.name} for a while, so no path is kept up${relay}.`,
    advice: `Send something (nexctl peers ping ${peer.name}) and ask again.`,
  }
}
