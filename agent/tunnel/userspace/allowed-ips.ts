/** Allowed IPs of all peers: which peer a packet goes to, and which one alone it may come from (whitepaper §2). */
import {
  addressBytes,
  addressFamily,
  type Prefix,
  prefixAddress,
  prefixLength,
} from '../../../protocol/address.ts'
import { PrefixTrie } from './prefix-trie.ts'

export class AllowedIps<P> {
  readonly #tries = { 4: new PrefixTrie<P>(), 6: new PrefixTrie<P>() }
  readonly #owners = new Map<Prefix, P>()
  readonly #held = new Map<P, Set<Prefix>>()

  /** Takes the prefix from the peer that had it in the same act. */
  give(prefix: Prefix, peer: P): void {
    const before = this.#owners.get(prefix)
    if (before !== undefined) this.#held.get(before)?.delete(prefix)
    this.#owners.set(prefix, peer)
    this.#tries[addressFamily(prefix)].set(bitsOf(prefix), prefixLength(prefix), peer)
    const held = this.#held.get(peer) ?? new Set()
    this.#held.set(peer, held.add(prefix))
  }

  /** Nothing happens if another peer, or none, has it. */
  take(prefix: Prefix, peer: P): void {
    if (this.#owners.get(prefix) !== peer) return
    this.#owners.delete(prefix)
    this.#held.get(peer)?.delete(prefix)
    this.#tries[addressFamily(prefix)].delete(bitsOf(prefix), prefixLength(prefix))
  }

  forget(peer: P): void {
    for (const prefix of this.of(peer)) this.take(prefix, peer)
    this.#held.delete(peer)
  }

  of(peer: P): readonly Prefix[] {
    return [...(this.#held.get(peer) ?? [])]
  }

  /** Whose the address is that lies at `offset` of an IP packet of that version. */
  ownerAt(version: 4 | 6, packet: Uint8Array, offset: number): P | undefined {
    return this.#tries[version].find(packet, offset)
  }
}

function bitsOf(prefix: Prefix): Uint8Array {
  return addressBytes(prefixAddress(prefix))
}
