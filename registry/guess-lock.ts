/** A lock against guessing: after some wrong guesses nothing more is looked up for a while. In memory:
 *  each registry process counts for itself. */
import type { Clock } from '../protocol/clock.ts'
import { ProblemError } from './problem.ts'

export interface GuessLimits {
  readonly wrong: number
  /** Wrong guesses are forgotten, and the lock opens, so long after the first. Seconds. */
  readonly seconds: number
  /** Guessers that are counted at once; the oldest is forgotten first. */
  readonly guessers: number
}

export interface GuessLock {
  /** Throws a 429 problem while `guesser` is locked out. */
  check(guesser: string): void
  wrong(guesser: string): void
}

export function openGuessLock(
  clock: Pick<Clock, 'monotonicMs'>,
  { wrong, seconds, guessers }: GuessLimits,
): GuessLock {
  const counted = new Map<string, { count: number; untilMs: number }>()
  const current = (guesser: string) => {
    const known = counted.get(guesser)
    if (known !== undefined && known.untilMs > clock.monotonicMs()) return known
    counted.delete(guesser)
    return undefined
  }
  return {
    check(guesser) {
      const known = current(guesser)
      if (known === undefined || known.count < wrong) return
      const left = Math.ceil((known.untilMs - clock.monotonicMs()) / 60_000)
      throw new ProblemError(
        429,
        'guessing-locked',
        `${known.count} wrong codes: wait ${left} ${left === 1 ? 'minute' : 'minutes'} before you try another`,
      )
    },
    wrong(guesser) {
      const known = current(guesser)
      const untilMs = known?.untilMs ?? clock.monotonicMs() + seconds * 1000
      counted.set(guesser, { count: (known?.count ?? 0) + 1, untilMs })
      const [oldest] = counted.keys()
      if (counted.size > guessers && oldest !== undefined) counted.delete(oldest)
    },
  }
}
