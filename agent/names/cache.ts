/** Cache of forwarded answers: bounded in number and bytes, each for as long as it says. */
import type { Forwarded } from './forwarded.ts'

export const CACHE_LIMITS = { answers: 1024, bytes: 4096 } as const

export interface Cached {
  readonly answer: Forwarded
  readonly atMs: number
}

export class AnswerCache {
  readonly #kept = new Map<string, Cached>()

  get size(): number {
    return this.#kept.size
  }

  find(key: string, nowMs: number): Cached | undefined {
    const found = this.#kept.get(key)
    if (found === undefined) return undefined
    if (nowMs - found.atMs < found.answer.lifetime * 1000) return found
    this.#kept.delete(key)
    return undefined
  }

  /** The oldest goes where there is no room. */
  keep(key: string, answer: Forwarded, atMs: number): void {
    if (answer.lifetime === 0 || answer.body.length > CACHE_LIMITS.bytes) return
    this.#kept.delete(key)
    const oldest = this.#kept.keys().next()
    if (this.#kept.size >= CACHE_LIMITS.answers && oldest.done !== true)
      this.#kept.delete(oldest.value)
    this.#kept.set(key, { answer, atMs })
  }

  clear(): void {
    this.#kept.clear()
  }
}
