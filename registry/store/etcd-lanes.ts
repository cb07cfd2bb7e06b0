/** Lanes: what makes a commit take effect once, however often it is sent. A commit writes its own id to a
 *  key that only this process and, at a time, only this commit uses, if that key is unchanged; so of
 *  two copies one takes effect, and reading the key tells which id that was. */
import { fromUtf8, utf8 } from '../../crypto/bytes.ts'
import { StoreError, type Version } from './store.ts'

/** Commits of one process on their way at once; more of them wait. */
const LANES = 64
/** Commits that wait: more than requests that the registry answers at once. */
const WAITING = 20_000
/** Seconds after which a lane that was not used is deleted as one of a process that has ended. */
export const LANE_LIFETIME = 86_400

/** Outside of the key alphabet of records. */
export const LANE_PREFIX = '\u0001lane/'

export interface Lane {
  readonly key: string
  version: Version
  /** Seconds. */
  usedAt: number
}

export class Lanes {
  readonly #owner: string
  readonly #free: Lane[] = []
  readonly #waiting: (() => void)[] = []
  #made = 0
  #used = 0

  /** @param owner no other process has it */
  constructor(owner: string) {
    this.#owner = owner
  }

  /** Runs `body` with a lane that nobody else has meanwhile. Where it throws, the lane is given up: what
   *  it did may still take effect. Throws StoreError where too many wait. */
  async run<R>(now: number, body: (lane: Lane) => Promise<R>): Promise<R> {
    if (this.#waiting.length >= WAITING) {
      throw new StoreError(`${WAITING} commits wait for etcd already: try again in a moment`)
    }
    if (this.#used >= LANES) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    else this.#used += 1
    const lane = this.#take(now)
    try {
      const result = await body(lane)
      lane.usedAt = now
      this.#free.push(lane)
      return result
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#used -= 1
      else next()
    }
  }

  /** One of this process, unless others may take it for that of a process that has ended. */
  #take(now: number): Lane {
    const lane = this.#free.pop()
    if (lane !== undefined && now - lane.usedAt < LANE_LIFETIME / 2) return lane
    return { key: `${LANE_PREFIX}${this.#owner}/${this.#made++}`, version: 0n, usedAt: now }
  }

  /** Those that this process need not keep. */
  unused(): readonly Lane[] {
    return this.#free
  }
}

/** What a lane holds: the id of the commit that used it last, and when. */
export function encodeLaneUse(id: string, now: number): Uint8Array {
  return utf8(`${id} ${now}`)
}

export function parseLaneUse(value: Uint8Array): { readonly id: string; readonly at: number } {
  const [id = '', at = ''] = fromUtf8(value).split(' ')
  return { id, at: Number(at) }
}
