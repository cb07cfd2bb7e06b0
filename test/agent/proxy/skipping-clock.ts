/** A clock that runs as the system's does, but for what a test skips, and how it hastens it. */
import { systemClock } from '../../../agent/system-clock.ts'
import type { Clock } from '../../../protocol/clock.ts'

export interface SkippingClock extends Clock {
  /** So many milliseconds later at once; what is done again and again is done. */
  skip(ms: number): void
  /** From now on so many times as fast. */
  hasten(factor: number): void
}

/** For proxies that have much to do at once, on a machine that is slow: none of their limits is reached. */
export function patientClock(): Clock {
  const clock = skippingClock()
  clock.hasten(1 / 100)
  return clock
}

export function skippingClock(): SkippingClock {
  let [atMs, sinceMs, factor] = [0, systemClock.monotonicMs(), 1]
  const tasks = new Set<() => void>()
  const monotonicMs = () => atMs + (systemClock.monotonicMs() - sinceMs) * factor
  return {
    ...systemClock,
    monotonicMs,
    after: (ms, task) => systemClock.after(ms / factor, task),
    every: (ms, task) => {
      const timer = systemClock.every(ms / factor, task)
      tasks.add(task)
      return {
        cancel: () => {
          timer.cancel()
          tasks.delete(task)
        },
      }
    },
    skip: (ms) => {
      atMs += ms
      for (const task of tasks) task()
    },
    hasten: (wanted) => {
      ;[atMs, sinceMs, factor] = [monotonicMs(), systemClock.monotonicMs(), wanted]
    },
  }
}
