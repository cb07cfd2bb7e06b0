/** Denied peers: who was refused a moment ago, and about whom the operator has been told. */
import type { Clock } from '../../protocol/clock.ts'
import type { Log } from '../../protocol/log.ts'

/** Peers remembered at once; strangers can make as many as they like. */
const REMEMBERED = 1024
const HOUR_MS = 3_600_000
/** Milliseconds for which the reason of a refusal says why there is no connection: denials last 1 minute. */
const REASON_MS = 180_000
/** Warnings an hour in all: whoever takes a new peer id for each try would fill the log; more are counted. */
const LINES_AN_HOUR = 60

export class DeniedPeers {
  readonly #until = new Map<string, number>()
  readonly #told = new Map<string, number>()
  readonly #reasons = new Map<string, { readonly reason: string; readonly atMs: number }>()
  readonly #clock: Clock
  readonly #log: Log
  #hourBegan: number
  #lines = 0

  constructor(clock: Clock, log: Log) {
    this.#clock = clock
    this.#log = log
    this.#hourBegan = clock.monotonicMs()
  }

  /** @param peer libp2p peer id as text
   *  @param reason what the peer did, for whoever asks why it is not connected */
  deny(peer: string, durationMs: number, reason?: string): void {
    const now = this.#clock.monotonicMs()
    remember(this.#until, peer, now + durationMs)
    if (reason !== undefined) remember(this.#reasons, peer, { reason, atMs: now })
  }

  allow(peer: string): void {
    this.#until.delete(peer)
  }

  isDenied(peer: string): boolean {
    const until = this.#until.get(peer)
    if (until === undefined) return false
    if (this.#clock.monotonicMs() < until) return true
    this.#until.delete(peer)
    return false
  }

  /** Why the peer was denied lately. */
  reasonOf(peer: string): string | undefined {
    const known = this.#reasons.get(peer)
    if (known === undefined || this.#clock.monotonicMs() - known.atMs > REASON_MS) return undefined
    return known.reason
  }

  /** Warns about a peer, once an hour each, and no more than so many an hour in all. */
  tell(peer: string, event: string, fields: Record<string, unknown>): void {
    const now = this.#clock.monotonicMs()
    if (now - this.#hourBegan >= HOUR_MS) this.#beginHour(now)
    const told = this.#told.get(peer)
    const isToldOf = told !== undefined && now - told < HOUR_MS
    if (!isToldOf) {
      remember(this.#told, peer, now)
      this.#lines += 1
    }
    const isSilent = isToldOf || this.#lines > LINES_AN_HOUR
    this.#log(isSilent ? 'debug' : 'warn', event, { peer, ...fields })
  }

  #beginHour(now: number): void {
    const count = this.#lines - LINES_AN_HOUR
    if (count > 0) this.#log('warn', 'mesh.more-peers-refused', { count })
    this.#hourBegan = now
    this.#lines = 0
  }
}

function remember<T>(map: Map<string, T>, peer: string, value: T): void {
  map.delete(peer)
  const oldest = map.keys().next()
  if (map.size >= REMEMBERED && oldest.done !== true) map.delete(oldest.value)
  map.set(peer, value)
}
