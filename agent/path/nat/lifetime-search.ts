/** Lifetime search: runs trials in the background until the lifetime is known well enough. */
import {
  isRoundDecided,
  type Lifetime,
  lifetimeOf,
  longestMeasurement,
  nextWaits,
  type Outcome,
} from './lifetime.ts'

/** Rounds: the first, and as many as four parts each need to come from 900 s to one. */
const ROUNDS = 7

export interface LifetimeSearch {
  /** Seconds. */
  readonly atMost: number
  readonly result: Promise<Lifetime>
  /** It ends, and the result is rejected. */
  stop(): void
}

/** @param longest the longest wait, seconds
 *  @param trial does a mapping outlive so many seconds? */
export function startLifetimeSearch(
  longest: number,
  trial: (wait: number, signal: AbortSignal) => Promise<boolean>,
): LifetimeSearch {
  const ended = new AbortController()
  return {
    atMost: longestMeasurement(longest),
    result: search(longest, trial, ended.signal),
    stop: () => ended.abort(new Error('the measurement was stopped')),
  }
}

async function search(
  longest: number,
  trial: (wait: number, signal: AbortSignal) => Promise<boolean>,
  signal: AbortSignal,
): Promise<Lifetime> {
  const outcomes: Outcome[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const waits = nextWaits(outcomes, longest)
    if (waits.length === 0) break
    outcomes.push(...(await runRound(waits, outcomes, trial, signal)))
  }
  return lifetimeOf(outcomes)
}

/** All at once; what is still waiting when enough is known, or one has failed, is given up. */
async function runRound(
  waits: readonly number[],
  known: readonly Outcome[],
  trial: (wait: number, signal: AbortSignal) => Promise<boolean>,
  signal: AbortSignal,
): Promise<readonly Outcome[]> {
  const ended = new AbortController()
  const either = AbortSignal.any([signal, ended.signal])
  const found: Outcome[] = []
  const faults: unknown[] = []
  const isFirst = known.length === 0
  const trials = waits.map(async (wait) => {
    try {
      found.push({ wait, isAlive: await trial(wait, either) })
      if (isFirst && isRoundDecided(found)) ended.abort(new Error('enough is known'))
    } catch (error) {
      if (either.aborted) return
      faults.push(error)
      ended.abort(new Error('another trial failed'))
    }
  })
  await Promise.all(trials)
  signal.throwIfAborted()
  if (faults.length > 0) throw faults[0]
  return found
}
