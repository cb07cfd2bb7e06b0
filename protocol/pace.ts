/** Pace: so much at once and so much a second, for each of many. Whoever goes beyond is not heard for the
 *  moment; sync brings the newest of what was missed (SPEC §7.6). */
import type { Envelope } from './envelope.ts'
import type { Verdict } from './state.ts'

export interface PaceOptions {
  /** May be spent at once. */
  readonly burst: number
  readonly perSecond: number
}

/** Names remembered; the one that was quiet for longest goes first. */
const REMEMBERED = 4096

export class Pace {
  readonly #options: PaceOptions
  readonly #left = new Map<string, { tokens: number; atMs: number }>()

  constructor(options: PaceOptions) {
    this.#options = options
  }

  has(name: string, cost: number, nowMs: number): boolean {
    return cost <= this.#tokens(name, nowMs)
  }

  #tokens(name: string, nowMs: number): number {
    const { burst, perSecond } = this.#options
    const known = this.#left.get(name)
    if (known === undefined) return burst
    return Math.min(burst, known.tokens + ((nowMs - known.atMs) * perSecond) / 1000)
  }

  /** False, and nothing is spent, where `cost` is more than is left. `nowMs` is monotonic. */
  spend(name: string, cost: number, nowMs: number): boolean {
    const tokens = this.#tokens(name, nowMs)
    const isEnough = cost <= tokens
    this.#left.delete(name)
    const oldest = this.#left.keys().next()
    if (this.#left.size >= REMEMBERED && oldest.done !== true) this.#left.delete(oldest.value)
    this.#left.set(name, { tokens: isEnough ? tokens - cost : tokens, atMs: nowMs })
    return isEnough
  }
}

/** Statements of one device that are taken: all that it may have at once, then two a second. Who says more
 *  makes every member of the organization work and pass it on. */
export const STATEMENTS: PaceOptions = { burst: 300, perSecond: 2 }

const PACED: ReadonlySet<Envelope['kind']> = new Set([
  'approval',
  'endpoint-update',
  'route-advertisement',
])

/** The pace of what devices say. */
export class StatementPace {
  readonly #pace = new Pace(STATEMENTS)

  /** Has `learn` take the envelope unless its signer has said too much; what was known already is free. */
  hear(envelope: Envelope, nowMs: number, learn: () => Verdict): Verdict | undefined {
    const { kind, signer } = envelope
    if (!PACED.has(kind)) return learn()
    if (!this.#pace.has(signer, 1, nowMs)) return undefined
    const verdict = learn()
    if (verdict.changed) this.#pace.spend(signer, 1, nowMs)
    return verdict
  }
}
