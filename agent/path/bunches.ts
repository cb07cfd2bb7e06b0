/** Bunches: events that come together are acted on once, a moment after the first. */
import type { Cancellable, Clock } from '../../protocol/clock.ts'

const BUNCH_MS = 20

export interface Bunches {
  /** Does the task soon, unless one of this name is waiting. */
  soon(name: string, task: () => void): void
  close(): void
}

export function newBunches(clock: Pick<Clock, 'after'>): Bunches {
  const waiting = new Map<string, Cancellable>()
  return {
    soon: (name, task) => {
      if (waiting.has(name)) return
      const run = (): void => {
        waiting.delete(name)
        task()
      }
      waiting.set(name, clock.after(BUNCH_MS, run))
    },
    close: () => {
      for (const timer of waiting.values()) timer.cancel()
    },
  }
}
