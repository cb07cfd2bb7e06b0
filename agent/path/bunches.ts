/** Bunches: events that come several at a time are taken up once. */
import type { Cancellable, Clock } from '../../protocol/clock.ts'

/** Milliseconds from the first event to what it causes. */
const BUNCH_MS = 20

export interface Bunches {
  /** Runs `task` soon, unless one of that name is about to run. */
  add(name: string, task: () => void): void
  close(): void
}

export function newBunches(clock: Pick<Clock, 'after'>): Bunches {
  const waiting = new Map<string, Cancellable>()
  return {
    add: (name, task) => {
      if (waiting.has(name)) return
      const timer = clock.after(BUNCH_MS, () => {
        waiting.delete(name)
        task()
      })
      waiting.set(name, timer)
    },
    close: () => {
      for (const timer of waiting.values()) timer.cancel()
    },
  }
}
