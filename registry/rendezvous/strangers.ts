/** Strangers: peers that were refused a moment ago, and what the operator has been told of them. */
import type { Clock } from '../../protocol/clock.ts'
import type { Log } from '../../protocol/log.ts'

/** Peers remembered at once: anybody can make as many peer ids as they like. */
const REMEMBERED = 4096
const HOUR_MS = 3_600_000
/** Lines an hour for peers that were not told of yet; the others are counted. */
const LINES_AN_HOUR = 60

export class Strangers {
  readonly #deniedUntil = new Map<string, number>()
  readonly #toldAt = new Map<string, number>()
  readonly #clock: Pick<Clock, 'monotonicMs'>
  readonly #log: Log
  #hourBegan: number
  #lines = 0
  #untold = 0

  constructor(clock: Pick<Clock, 'monotonicMs'>, log: Log) {
    this.#clock = clock
    this.#log = log
    this.#hourBegan = clock.monotonicMs()
  }

  /** @param peer libp2p peer id as text */
  deny(peer: string, durationMs: number): void {
    remember(this.#deniedUntil, peer, this.#clock.monotonicMs() + durationMs)
  }

  allow(peer: string): void {
    this.#deniedUntil.delete(peer)
  }

  isDenied(peer: string): boolean {
    const until = this.#deniedUntil.get(peer)
    return until !== undefined && this.#clock.monotonicMs() < until
  }

  /** Warns about a peer, once an hour each, and no more than so many an hour in all. */
  tell(peer: string, event: string, fields: Record<string, unknown>): void {
    const now = this.#clock.monotonicMs()
    if (now - this.#hourBegan >= HOUR_MS) this.#beginHour(now)
    const told = this.#toldAt.get(peer)
    const isToldOf = told !== undefined && now - told < HOUR_MS
    if (!isToldOf) {
      remember(this.#toldAt, peer, now)
      this.#lines += 1
      if (this.#lines > LINES_AN_HOUR) this.#untold += 1
    }
    const isSilent = isToldOf || this.#lines > LINES_AN_HOUR
    this.#log(isSilent ? 'debug' : 'warn', event, { peer, ...fields })
  }

  #beginHour(now: number): void {
    if (this.#untold > 0) {
      this.#log('warn', 'rendezvous.more-peers-refused', { count: this.#untold })
    }
    this.#hourBegan = now
    this.#lines = 0
    this.#untold = 0
  }
}

function remember(map: Map<string, number>, peer: string, value: number): void {
  map.delete(peer)
  const oldest = map.keys().next()
  if (map.size >= REMEMBERED && oldest.done !== true) map.delete(oldest.value)
  map.set(peer, value)
}
