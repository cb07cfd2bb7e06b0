/** Verdict: one sentence about why a peer is reached as it is, or is not, and what to do. Pure: the first rule
 *  that holds, the most specific first. */
import type { WhyFacts } from './facts.ts'
import { pathVerdict } from './path-verdict.ts'
import { trustVerdict } from './trust-verdict.ts'
import type { Verdict } from './verdict-code.ts'

/** Total. */
export function verdictOf(facts: WhyFacts): Verdict {
  return trustVerdict(facts) ?? pathVerdict(facts)
}
