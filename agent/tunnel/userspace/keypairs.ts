/** Keypairs of one peer: the previous one, whose packets may be on their way, the current one, with which is sent, and
 *  the next one, which the responder may not send with until the initiator has shown that it has it (whitepaper
 *  §6.3; as wireguard-go and Linux turn them). */
import type { Keypair } from './keypair.ts'

export class Keypairs {
  #previous: Keypair | undefined
  #current: Keypair | undefined
  #next: Keypair | undefined
  readonly #dropped: (keypair: Keypair) => void

  /** @param dropped hears of each that is no more */
  constructor(dropped: (keypair: Keypair) => void) {
    this.#dropped = dropped
  }

  get current(): Keypair | undefined {
    return this.#current
  }

  add(made: Keypair): void {
    const [previous, current, next] = [this.#previous, this.#current, this.#next]
    if (made.isInitiator) this.#turn(next ?? current, made, undefined)
    else this.#turn(undefined, current, made)
    for (const old of [previous, current, next]) this.#drop(old)
  }

  /** A packet came by it: was it the next one, which is now the current? */
  confirm(keypair: Keypair): boolean {
    if (keypair !== this.#next) return false
    const previous = this.#previous
    this.#turn(this.#current, keypair, undefined)
    this.#drop(previous)
    return true
  }

  clear(): void {
    const all = [this.#previous, this.#current, this.#next]
    this.#turn(undefined, undefined, undefined)
    for (const old of all) this.#drop(old)
  }

  #turn(
    previous: Keypair | undefined,
    current: Keypair | undefined,
    next: Keypair | undefined,
  ): void {
    this.#previous = previous
    this.#current = current
    this.#next = next
  }

  #drop(keypair: Keypair | undefined): void {
    if (keypair === undefined) return
    if ([this.#previous, this.#current, this.#next].includes(keypair)) return
    this.#dropped(keypair)
  }
}
