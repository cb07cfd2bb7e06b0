/** Relay meter: how many bytes a relay carries for each member and for all, fairly (SPEC §12.5). Pure: time
 *  is handed in. */

/** Bytes a second. */
export interface RelayRate {
  readonly total: number
  readonly member: number
}

/** Seconds of the rate that may be used at once, and the least bytes of such a burst: what a stream gathers
 *  in one turn. */
const BURST_SECONDS = 0.25
const LEAST_BURST = 262_144
/** Milliseconds after which whoever sent nothing has no share any more. */
const ACTIVE_MS = 2000

interface Account {
  /** Bytes that may be taken now, of the member's own limit and of its fair share of the total. */
  own: number
  share: number
  atMs: number
}

export class RelayMeter<M> {
  readonly #rate: RelayRate
  readonly #accounts = new Map<M, Account>()
  #left: number
  #atMs = -Infinity
  #sweptMs = -Infinity

  constructor(rate: RelayRate) {
    this.#rate = rate
    this.#left = burst(rate.total)
  }

  /** False: too much, and to be dropped. Whoever stays within an equal share of the total always has it;
   *  what the others leave is for whoever comes, half of the burst kept for those with a share. */
  take(member: M, bytes: number, nowMs: number): boolean {
    this.#refill(nowMs)
    const account = this.#account(member, nowMs)
    if (account.own < bytes) return false
    if (account.share >= bytes) account.share -= bytes
    else if (this.#left - bytes < burst(this.#rate.total) / 2) return false
    account.own -= bytes
    this.#left = Math.max(this.#left - bytes, -burst(this.#rate.total))
    return true
  }

  /** Accounts kept now. */
  get size(): number {
    return this.#accounts.size
  }

  #refill(nowMs: number): void {
    const { total } = this.#rate
    if (this.#atMs !== -Infinity) {
      this.#left = Math.min(burst(total), this.#left + ((nowMs - this.#atMs) * total) / 1000)
    }
    this.#atMs = nowMs
    if (nowMs - this.#sweptMs < ACTIVE_MS / 2) return
    this.#sweptMs = nowMs
    for (const [member, { atMs }] of this.#accounts) {
      if (nowMs - atMs >= ACTIVE_MS) this.#accounts.delete(member)
    }
  }

  #account(member: M, nowMs: number): Account {
    const { member: own, total } = this.#rate
    const known = this.#accounts.get(member)
    if (known === undefined) {
      const share = total / (this.#accounts.size + 1)
      const made = { own: burst(own), share: burst(share), atMs: nowMs }
      this.#accounts.set(member, made)
      return made
    }
    const seconds = (nowMs - known.atMs) / 1000
    const share = total / this.#accounts.size
    known.own = Math.min(burst(own), known.own + seconds * own)
    known.share = Math.min(burst(share), known.share + seconds * share)
    known.atMs = nowMs
    return known
  }
}

/** Nothing at all where the rate is 0. */
function burst(rate: number): number {
  return rate === 0 ? 0 : Math.max(LEAST_BURST, rate * BURST_SECONDS)
}

const SECOND_MS = 1000

/** What was refused in the last second. */
export class RefusedBytes {
  #sinceMs = -Infinity
  #bytes = 0

  /** With these. */
  count(bytes: number, nowMs: number): number {
    if (nowMs - this.#sinceMs >= SECOND_MS) {
      this.#sinceMs = nowMs
      this.#bytes = 0
    }
    this.#bytes += bytes
    return this.#bytes
  }
}
