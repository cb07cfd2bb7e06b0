/** Replay window (RFC 6479): each counter once, those that come late included, those from before the window
 *  never. */

/** Counters behind the newest that may still come: a fast link's reordering of some milliseconds. */
export const WINDOW = 2048
const WORD = 32

export class ReplayWindow {
  readonly #window: number
  readonly #seen: Uint32Array
  #newest = -1

  /** @param window counters behind the newest that may still come: a multiple of 32 */
  constructor(window: number = WINDOW) {
    this.#window = window
    // One word more than the window: the newest one is only partly used.
    this.#seen = new Uint32Array(window / WORD + 1)
  }

  /** Is it newer than all before? To be asked before `take`. */
  isNewest(counter: number): boolean {
    return counter > this.#newest
  }

  /** False: had already, or too old to tell. `counter` is an integer from 0 that was authentic. */
  take(counter: number): boolean {
    if (counter <= this.#newest - this.#window) return false
    const words = this.#seen.length
    const word = Math.floor(counter / WORD)
    if (counter > this.#newest) {
      const from = Math.floor(Math.max(0, this.#newest) / WORD)
      const fresh = Math.min(word - from, words)
      for (let step = 1; step <= fresh; step += 1) this.#seen[(from + step) % words] = 0
      this.#newest = counter
    }
    const bit = 1 << (counter % WORD)
    const index = word % words
    const seen = this.#seen[index] ?? 0
    if ((seen & bit) !== 0) return false
    this.#seen[index] = seen | bit
    return true
  }
}
