/** Asker: asks one thing again and again, and keeps what reach-health.ts makes of it. A late answer still counts. */
import type { Cancellable, Clock } from '../../protocol/clock.ts'
import {
  answered,
  askAgainMs,
  GIVEN_UP_MS,
  overdue,
  overdueAfterMs,
  type ReachHealth,
  unasked,
} from './reach-health.ts'

export interface AskerOptions {
  readonly clock: Pick<Clock, 'monotonicMs' | 'after'>
  /** Milliseconds of the round trip, or undefined after the timeout. */
  ask(timeoutMs: number): Promise<number | undefined>
  /** It has gone up or down. */
  onChange(): void
}

export class Asker implements Disposable {
  readonly #options: AskerOptions
  #health: ReachHealth
  #isUsed = false
  #next: Cancellable | undefined
  #overdue: Cancellable | undefined
  #isEnded = false
  #asked = 0

  constructor(options: AskerOptions, isUsed: boolean) {
    this.#options = options
    this.#isUsed = isUsed
    this.#health = unasked(options.clock.monotonicMs())
    this.#next = options.clock.after(0, () => this.#ask())
  }

  get health(): ReachHealth {
    return this.#health
  }

  /** Questions since the last call: what they cost is not taken for traffic. */
  takeAsked(): number {
    const asked = this.#asked
    this.#asked = 0
    return asked
  }

  /** Asks often while packets depend on the answer: the first time at once. */
  setUsed(isUsed: boolean): void {
    if (isUsed === this.#isUsed || this.#isEnded) return
    this.#isUsed = isUsed
    if (isUsed && this.#overdue === undefined) this.#ask()
  }

  #ask(): void {
    if (this.#isEnded) return
    const { clock } = this.#options
    this.#next?.cancel()
    this.#overdue?.cancel()
    this.#asked += 1
    const askedMs = clock.monotonicMs()
    this.#overdue = clock.after(overdueAfterMs(this.#health), () => {
      this.#overdue = undefined
      this.#set(overdue(this.#health, clock.monotonicMs()))
      this.#askAgain(askedMs)
    })
    const waiting = this.#overdue
    void this.#options.ask(GIVEN_UP_MS).then((roundTripMs) => {
      if (this.#isEnded || roundTripMs === undefined) return
      waiting.cancel()
      this.#set(answered(this.#health, roundTripMs, clock.monotonicMs()))
      if (this.#overdue !== waiting && this.#overdue !== undefined) return
      this.#overdue = undefined
      this.#askAgain(askedMs)
    })
  }

  #askAgain(askedMs: number): void {
    const { clock } = this.#options
    this.#next?.cancel()
    const dueMs = askedMs + askAgainMs(this.#health, this.#isUsed)
    this.#next = clock.after(Math.max(0, dueMs - clock.monotonicMs()), () => this.#ask())
  }

  #set(health: ReachHealth): void {
    const hasChanged = health.isUp !== this.#health.isUp
    this.#health = health
    if (hasChanged) this.#options.onChange()
  }

  [Symbol.dispose](): void {
    this.#isEnded = true
    this.#next?.cancel()
    this.#overdue?.cancel()
  }
}
