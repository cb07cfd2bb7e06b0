/** Indices: the 32-bit names by which the other side's messages say which handshake or session of ours they are for
 *  (whitepaper §5.4). Drawn at random, so that they tell nothing. */
import type { RandomBytes } from '../../../crypto/random.ts'
import type { Keypair } from './keypair.ts'
import { INDEX_BYTES, readUint32 } from './messages.ts'

export interface IndexEntry<P> {
  readonly peer: P
  /** Missing while the handshake runs. */
  readonly keypair?: Keypair
}

export class Indices<P> {
  readonly #entries = new Map<number, IndexEntry<P>>()
  readonly #random: RandomBytes

  constructor(random: RandomBytes) {
    this.#random = random
  }

  get size(): number {
    return this.#entries.size
  }

  /** One that nothing has, for a handshake. */
  draw(peer: P): number {
    for (;;) {
      const index = readUint32(this.#random(INDEX_BYTES), 0)
      if (this.#entries.has(index)) continue
      this.#entries.set(index, { peer })
      return index
    }
  }

  /** The handshake has become a session. */
  bind(peer: P, keypair: Keypair): void {
    this.#entries.set(keypair.localIndex, { peer, keypair })
  }

  free(index: number): void {
    this.#entries.delete(index)
  }

  at(index: number): IndexEntry<P> | undefined {
    return this.#entries.get(index)
  }
}
