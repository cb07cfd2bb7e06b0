/** Load: when handshake messages come so fast that senders must prove their address, and how many of each address are
 *  then answered (whitepaper §5.3). Pure. */
import type { IpAddress } from '../../../protocol/address.ts'
import { LOAD_PER_SECOND, MOST_SOURCES, SOURCE_BURST, SOURCE_PER_SECOND } from './constants.ts'

const SECOND_MS = 1000

export class Load {
  #windowMs = Number.NEGATIVE_INFINITY
  #count = 0
  #untilMs = Number.NEGATIVE_INFINITY
  readonly #sources = new Map<IpAddress, { tokens: number; atMs: number }>()

  /** A handshake message came: are we under load? So it stays for a second. */
  isUnder(nowMs: number): boolean {
    if (nowMs - this.#windowMs >= SECOND_MS) {
      this.#windowMs = nowMs
      this.#count = 0
    }
    this.#count += 1
    if (this.#count > LOAD_PER_SECOND) this.#untilMs = nowMs + SECOND_MS
    return nowMs < this.#untilMs
  }

  /** May one more message of that address be answered? */
  allows(source: IpAddress, nowMs: number): boolean {
    const known = this.#sources.get(source)
    // Whoever was not heard of for longest goes: its bucket is the fullest.
    this.#sources.delete(source)
    const tokens = known === undefined ? SOURCE_BURST : refilled(known, nowMs)
    const isAllowed = tokens >= 1
    this.#sources.set(source, { tokens: isAllowed ? tokens - 1 : tokens, atMs: nowMs })
    if (this.#sources.size > MOST_SOURCES) {
      const [oldest] = this.#sources.keys()
      if (oldest !== undefined) this.#sources.delete(oldest)
    }
    return isAllowed
  }
}

function refilled({ tokens, atMs }: { tokens: number; atMs: number }, nowMs: number): number {
  return Math.min(SOURCE_BURST, tokens + ((nowMs - atMs) / SECOND_MS) * SOURCE_PER_SECOND)
}
