/** Limit log: that a limit refuses is said once, and again only when half of it has been free in between. */
import type { Log } from '../../protocol/log.ts'

/** Of all; else of one source. */
const ALL = Symbol('all')

export class LimitLog {
  readonly #log: Log
  readonly #event: string
  readonly #name: string
  readonly #told = new Set<string | typeof ALL>()

  /** @param name of what is full */
  constructor(log: Log, event: string, name: string) {
    this.#log = log
    this.#event = event
    this.#name = name
  }

  /** Always false. @param source whose limit it is; that of all where it is missing */
  refused(limit: number, source?: string): false {
    const whose = source ?? ALL
    if (!this.#told.has(whose)) {
      this.#told.add(whose)
      this.#log('warn', this.#event, { name: this.#name, limit, ...(source && { source }) })
    }
    return false
  }

  /** One is over, so many are left. */
  left(count: number, limit: number, source?: string): void {
    if (count <= limit / 2) this.#told.delete(source ?? ALL)
  }
}
