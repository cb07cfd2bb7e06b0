/** Pings: echoes sent, and the answers they wait for. */

import type { IpAddress } from '../../protocol/address.ts'
import type { Cancellable, Clock } from '../../protocol/clock.ts'
import { STACK_LIMITS } from './limits.ts'
import { SocketError } from './socket-error.ts'

/** Milliseconds. */
const TIMEOUT_MS = 5000

interface Waiting {
  readonly sentMs: number
  readonly timer: Cancellable
  resolve(roundTripMs: number): void
  reject(error: Error): void
}

export class Pings {
  readonly #waiting = new Map<string, Waiting>()
  readonly #clock: Clock
  readonly #id: number
  readonly #send: (to: IpAddress, id: number, sequence: number) => void
  #sequence = 0

  /** @param id tells our echoes from others', 16 bits. @param send may throw SocketError */
  constructor(
    clock: Clock,
    id: number,
    send: (to: IpAddress, id: number, sequence: number) => void,
  ) {
    this.#clock = clock
    this.#id = id
    this.#send = send
  }

  get size(): number {
    return this.#waiting.size
  }

  /** Milliseconds until the answer. Rejects with SocketError: ETIMEDOUT, ENOBUFS, EADDRNOTAVAIL. */
  ping(to: IpAddress, timeoutMs = TIMEOUT_MS): Promise<number> {
    return new Promise((resolve, reject) => {
      if (this.#waiting.size >= STACK_LIMITS.pings) throw new SocketError('ping', 'ENOBUFS', to)
      this.#sequence = (this.#sequence + 1) & 0xffff
      const key = `${to} ${this.#sequence}`
      const timer = this.#clock.after(timeoutMs, () => {
        this.#waiting.delete(key)
        reject(new SocketError('ping', 'ETIMEDOUT', to))
      })
      this.#waiting.set(key, { sentMs: this.#clock.monotonicMs(), timer, resolve, reject })
      try {
        this.#send(to, this.#id, this.#sequence)
      } catch (error) {
        timer.cancel()
        this.#waiting.delete(key)
        throw error
      }
    })
  }

  answered(from: IpAddress, id: number, sequence: number): void {
    const key = `${from} ${sequence}`
    const waiting = id === this.#id ? this.#waiting.get(key) : undefined
    if (waiting === undefined) return
    this.#waiting.delete(key)
    waiting.timer.cancel()
    waiting.resolve(this.#clock.monotonicMs() - waiting.sentMs)
  }

  dispose(): void {
    for (const { timer, reject } of this.#waiting.values()) {
      timer.cancel()
      reject(new SocketError('ping', 'ECONNABORTED'))
    }
    this.#waiting.clear()
  }
}
