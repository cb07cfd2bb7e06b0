/** Sent ledger: to whom something left by WireGuard's port, and when, so that what comes unasked is known. */
import { type Endpoint, formatEndpoint, type IpAddress } from '../../../protocol/address.ts'

/** Longer than any NAT keeps a mapping that nobody uses, milliseconds: three times what RFC 4787 REQ-5
 *  recommends. */
export const FORGOTTEN_MS = 900_000
/** Of endpoints and of addresses. */
const REMEMBERED = 4096

/** To what of a source nothing was sent: to its address, or to this port of it only. */
export type Unasked = 'address' | 'port'

export class SentLedger {
  readonly #endpoints = new Map<string, number>()
  readonly #addresses = new Map<IpAddress, number>()
  /** Sent to at ports that we do not know. */
  readonly #anyPort = new Map<IpAddress, number>()
  /** Until then something that was sent may have been forgotten here. */
  #blindUntilMs = -Infinity

  sent({ address, port }: Endpoint, nowMs: number): void {
    this.#note(this.#endpoints, formatEndpoint({ address, port }), nowMs)
    this.#note(this.#addresses, address, nowMs)
  }

  /** Something may have been sent to the address before we kept books. */
  mayHaveSent(address: IpAddress, nowMs: number): void {
    this.#note(this.#anyPort, address, nowMs)
    this.#note(this.#addresses, address, nowMs)
  }

  /** Undefined: what comes from there may be let in because of something that was sent. */
  unasked({ address, port }: Endpoint, nowMs: number): Unasked | undefined {
    const isOpen = (sentMs = -Infinity): boolean => sentMs + FORGOTTEN_MS > nowMs
    if (nowMs < this.#blindUntilMs || isOpen(this.#anyPort.get(address))) return undefined
    if (!isOpen(this.#addresses.get(address))) return 'address'
    return isOpen(this.#endpoints.get(formatEndpoint({ address, port }))) ? undefined : 'port'
  }

  #note<K>(sent: Map<K, number>, key: K, nowMs: number): void {
    sent.delete(key)
    sent.set(key, nowMs)
    const [oldest] = sent
    if (sent.size <= REMEMBERED || oldest === undefined) return
    sent.delete(oldest[0])
    this.#blindUntilMs = Math.max(this.#blindUntilMs, oldest[1] + FORGOTTEN_MS)
  }
}
