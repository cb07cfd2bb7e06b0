/** How often a program may ask whether somebody has decided (RFC 8628 §3.5): who asks too soon must ask
 *  more slowly from then on. */
import type { Clock } from '../protocol/clock.ts'
import type { Seconds } from '../protocol/time.ts'

/** Seconds between questions (RFC 8628 §3.2), and what is added by one that comes too soon (§3.5). */
export const POLL_INTERVAL = 2
const SLOWED_BY = 5
/** Timers and networks are not exact. */
const TOLERANCE_MS = 500

interface Pace {
  readonly notBeforeMs: number
  readonly interval: number
  readonly expiresAt: number
}

export interface PollPace {
  /** Counts a question about `id`, which is of no interest after `expiresAt`. */
  isInPace(id: string, expiresAt: number): boolean
  forget(id: string): void
  forgetExpired(now: Seconds): void
}

/** In memory: after a restart a program may once ask too soon. */
export function openPollPace(clock: Pick<Clock, 'monotonicMs'>): PollPace {
  const paces = new Map<string, Pace>()
  return {
    isInPace(id, expiresAt) {
      const now = clock.monotonicMs()
      const pace = paces.get(id) ?? { notBeforeMs: now, interval: POLL_INTERVAL }
      const isInPace = now >= pace.notBeforeMs - TOLERANCE_MS
      const interval = isInPace ? pace.interval : pace.interval + SLOWED_BY
      paces.set(id, { notBeforeMs: now + interval * 1000, interval, expiresAt })
      return isInPace
    },
    forget: (id) => void paces.delete(id),
    forgetExpired(now) {
      for (const [id, { expiresAt }] of paces) if (expiresAt <= now) paces.delete(id)
    },
  }
}
