/** A direct path whose checks pass and that does not carry WireGuard, as data-plane verification found. */
import { formatEndpoint } from '../../protocol/address.ts'
import type { Evidence, PairEvidence } from '../../protocol/evidence.ts'
import { theirsOf, type WhyFacts } from './facts.ts'
import type { Verdict } from './verdict-code.ts'
import { duration, reachedBy } from './wording.ts'

interface Found {
  readonly by: string
  readonly other: string
  readonly evidence: Evidence
  readonly pair: PairEvidence
  readonly forMs: number
}

/** Either side finds it, and the other one follows it to the relay. */
export function blocked(facts: WhyFacts): Verdict | undefined {
  const { self, peer, ours } = facts
  const theirs = theirsOf(facts)
  const found = foundBy(self.name, peer.name, ours) ?? foundBy(peer.name, self.name, theirs)
  if (found === undefined) return undefined
  const { by, other, evidence, pair, forMs } = found
  const ports = [...new Set([ours.listenPort, theirs?.listenPort ?? ours.listenPort])]
  return {
    code: 'wireguard-blocked',
    sentence: `${by} reaches ${other} ${reachedBy(evidence, other)}: checks pass directly at ${formatEndpoint(pair)}, WireGuard's packets do not, so something on the way drops WireGuard; it is tried again in ${duration(forMs)}.`,
    advice: `Let WireGuard (UDP port ${ports.join(' and ')}) pass between the networks of ${self.name} and ${peer.name}: look for a firewall that recognizes and drops it. Until then the relay carries.`,
  }
}

function foundBy(by: string, other: string, evidence: Evidence | undefined): Found | undefined {
  if (evidence?.path.phase !== 'relay') return undefined
  for (const pair of evidence.pairs) {
    const { blockedForMs: forMs } = pair
    if (forMs !== undefined) return { by, other, evidence, pair, forMs }
  }
  return undefined
}
