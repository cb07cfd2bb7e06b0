/** Receiving: what an envelope from anybody does to what is known, and whether others are to hear of it. */
import type { Clock } from '../protocol/clock.ts'
import type { Envelope } from '../protocol/envelope.ts'
import type { Log } from '../protocol/log.ts'
import type { StatementPace } from '../protocol/pace.ts'
import type { Knowledge } from './knowledge.ts'

/** Accept what is newly believed, ignore the rest. */
export function receive(
  envelope: Envelope,
  pace: StatementPace,
  {
    knowledge,
    clock,
    log,
  }: { readonly knowledge: Knowledge; readonly clock: Clock; readonly log: Log },
): 'accept' | 'ignore' {
  const verdict = pace.hear(envelope, clock.monotonicMs(), () => knowledge.learn(envelope))
  if (verdict === undefined) return 'ignore'
  if (!verdict.ok && verdict.refusal !== 'stale') {
    const { kind, signer } = envelope
    log('debug', 'envelope.refused', { kind, refusal: verdict.refusal, signer })
  }
  // Approvers must hear of what waits for them.
  const isWaiting = !verdict.ok && verdict.changed && verdict.refusal === 'not-approved'
  return verdict.ok || isWaiting ? 'accept' : 'ignore'
}
