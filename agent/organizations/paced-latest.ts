/** Paced latest: of what is said again and again only the latest is heard, and not too often. */
import type { Cancellable, Clock } from '../../protocol/clock.ts'

export class PacedLatest<T extends object> {
  readonly #everyMs: number
  readonly #clock: Pick<Clock, 'after'>
  readonly #hear: (said: T) => void
  #resting: Cancellable | undefined
  #latest: T | undefined

  /** @param everyMs milliseconds from one that is heard to the next */
  constructor(everyMs: number, clock: Pick<Clock, 'after'>, hear: (said: T) => void) {
    this.#everyMs = everyMs
    this.#clock = clock
    this.#hear = hear
  }

  /** The first is heard at once. */
  say(said: T): void {
    this.#latest = said
    if (this.#resting === undefined) this.#hearLatest()
  }

  #hearLatest(): void {
    this.#resting = undefined
    const said = this.#latest
    if (said === undefined) return
    this.#latest = undefined
    this.#resting = this.#clock.after(this.#everyMs, () => this.#hearLatest())
    this.#hear(said)
  }
}
