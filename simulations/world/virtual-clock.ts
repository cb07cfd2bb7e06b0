/** Virtual clock: time that passes only when nothing is left to do in the present.
 *
 *  `takeOver` puts it, and a seeded generator, in the place of the process's own timers, `Date.now` and
 *  `Math.random`, so that libraries run in virtual time as they are. Call it before importing them. */
import type { Cancellable, Clock } from '../../protocol/clock.ts'
import { seconds } from '../../protocol/time.ts'
import { Heap } from './heap.ts'

/** 2026-01-01T12:00:00Z in milliseconds: where virtual time begins. */
export const BEGINNING_MS = 1_767_268_800_000

const realSetImmediate = globalThis.setImmediate

export class VirtualClock implements Clock {
  readonly #heap = new Heap()
  #nowMs = 0
  #order = 0

  now(): ReturnType<Clock['now']> {
    return seconds(Math.floor(this.nowMs() / 1000))
  }

  nowMs(): number {
    return BEGINNING_MS + Math.floor(this.#nowMs)
  }

  monotonicMs(): number {
    return this.#nowMs
  }

  after(ms: number, task: () => void): Cancellable {
    let isCancelled = false
    const run = (): void => {
      if (!isCancelled) task()
    }
    this.#order += 1
    this.#heap.push({ atMs: this.#nowMs + Math.max(0, ms), order: this.#order, run })
    return {
      cancel: () => {
        isCancelled = true
      },
    }
  }

  every(ms: number, task: () => void): Cancellable {
    let next = this.after(ms, function repeat(this: void) {
      task()
    })
    const schedule = (): void => {
      next = this.after(ms, () => {
        task()
        schedule()
      })
    }
    next.cancel()
    schedule()
    return { cancel: () => next.cancel() }
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = this.after(ms, resolve)
      signal?.addEventListener('abort', () => {
        timer.cancel()
        reject(signal.reason instanceof Error ? signal.reason : new Error('aborted'))
      })
    })
  }

  /** Lets `ms` of virtual time pass: all that is due runs, and what it starts, in order. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms
    for (;;) {
      const due = this.#heap.peek()
      if (due === undefined || due.atMs > endMs) break
      this.#nowMs = due.atMs
      while ((this.#heap.peek()?.atMs ?? Number.POSITIVE_INFINITY) <= this.#nowMs)
        this.#heap.pop()?.run()
      await settled()
    }
    this.#nowMs = endMs
  }
}

/** All microtasks of the present have run. */
function settled(): Promise<void> {
  return new Promise((resolve) => realSetImmediate(resolve))
}

/** A generator of numbers in [0, 1): mulberry32. The same seed gives the same run. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** Replaces the process's time and randomness. The returned function puts them back. */
export function takeOver(clock: VirtualClock, random: () => number): () => void {
  const real = {
    setTimeout: globalThis.setTimeout,
    clearTimeout: globalThis.clearTimeout,
    setInterval: globalThis.setInterval,
    clearInterval: globalThis.clearInterval,
  }
  const realNow = Date.now
  const realRandom = Math.random
  const fake = {
    setTimeout: (task: () => void, ms = 0) => timer(clock.after(ms, task)),
    setInterval: (task: () => void, ms = 0) => timer(clock.every(ms, task)),
    clearTimeout: (each?: Cancellable) => each?.cancel(),
    clearInterval: (each?: Cancellable) => each?.cancel(),
  }
  Object.assign(globalThis, fake)
  Date.now = () => clock.nowMs()
  Math.random = random
  return () => {
    Object.assign(globalThis, real)
    Date.now = realNow
    Math.random = realRandom
  }
}

/** What libraries expect of a timer besides cancelling. */
function timer(cancellable: Cancellable): Cancellable & { ref(): void; unref(): void } {
  return { ...cancellable, ref: () => {}, unref: () => {} }
}
