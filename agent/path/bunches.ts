/** Bunches: events that come several at a time are taken up once. */
import type { Cancellable, Clock } from '../../protocol/clock.ts'

/** Milliseconds from the first event to what it causes, or from one to the next. */
const BUNCH_MS = 20

export interface Bunches {
  /** Runs `task` soon, unless one of that name is about to run. */
  add(name: string, task: () => void): void
  /** Runs `task` at once, and what is asked for soon after it together. */
  addPrompt(name: string, task: () => void): void
  close(): void
}

interface Waiting {
  readonly timer: Cancellable
  task: (() => void) | undefined
}

export function newBunches(clock: Pick<Clock, 'after'>): Bunches {
  const waiting = new Map<string, Waiting>()
  const wait = (name: string, task?: () => void): void => {
    const timer = clock.after(BUNCH_MS, () => {
      const due = waiting.get(name)?.task
      waiting.delete(name)
      due?.()
    })
    waiting.set(name, { timer, task })
  }
  const addPrompt = (name: string, task: () => void): void => {
    const known = waiting.get(name)
    if (known !== undefined) {
      known.task ??= () => addPrompt(name, task)
      return
    }
    wait(name)
    task()
  }
  return {
    add: (name, task) => {
      if (!waiting.has(name)) wait(name, task)
    },
    addPrompt,
    close: () => {
      for (const { timer } of waiting.values()) timer.cancel()
    },
  }
}
