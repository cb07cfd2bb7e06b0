/** Allowed IPs of all peers: which peer a packet goes to, and which one alone it may come from (whitepaper §2), but for
 *  what is under way from the one before (SPEC §8.8). */
import {
  addressBytes,
  addressFamily,
  type Prefix,
  prefixAddress,
  prefixLength,
} from '../../../protocol/address.ts'
import { PrefixTrie } from './prefix-trie.ts'

interface Holding<P> {
  owner: P
  /** Others that may send from here still, and until when, milliseconds. */
  readonly late: Map<P, number>
}

export class AllowedIps<P> {
  readonly #tries = { 4: new PrefixTrie<Holding<P>>(), 6: new PrefixTrie<Holding<P>>() }
  readonly #holdings = new Map<Prefix, Holding<P>>()
  readonly #held = new Map<P, Set<Prefix>>()
  readonly #late = new Map<P, Set<Prefix>>()

  /** Takes the prefix from the peer that had it in the same act. */
  give(prefix: Prefix, peer: P): void {
    const before = this.#holdings.get(prefix)
    if (before !== undefined) {
      this.#held.get(before.owner)?.delete(prefix)
      before.owner = peer
      before.late.delete(peer)
    } else {
      const holding = { owner: peer, late: new Map() }
      this.#holdings.set(prefix, holding)
      this.#tries[addressFamily(prefix)].set(bitsOf(prefix), prefixLength(prefix), holding)
    }
    const held = this.#held.get(peer) ?? new Set()
    this.#held.set(peer, held.add(prefix))
  }

  /** Nothing happens if another peer, or none, has it. */
  take(prefix: Prefix, peer: P): void {
    const holding = this.#holdings.get(prefix)
    if (holding?.owner !== peer) return
    for (const other of holding.late.keys()) this.#late.get(other)?.delete(prefix)
    this.#holdings.delete(prefix)
    this.#held.get(peer)?.delete(prefix)
    this.#tries[addressFamily(prefix)].delete(bitsOf(prefix), prefixLength(prefix))
  }

  forget(peer: P): void {
    for (const prefix of this.of(peer)) this.take(prefix, peer)
    this.#held.delete(peer)
    this.setLate(peer, [], 0)
  }

  of(peer: P): readonly Prefix[] {
    return [...(this.#held.get(peer) ?? [])]
  }

  /** The peer may send, not be sent, until then from those of the prefixes that somebody has, and late from no other.
   *  What it may already it may no longer than before. */
  setLate(peer: P, prefixes: readonly Prefix[], untilMs: number): void {
    const wanted = new Set(prefixes.filter((prefix) => this.#holdings.has(prefix)))
    for (const prefix of this.#late.get(peer) ?? []) {
      if (!wanted.has(prefix)) this.#holdings.get(prefix)?.late.delete(peer)
    }
    for (const prefix of wanted) {
      const late = this.#holdings.get(prefix)?.late
      late?.set(peer, Math.min(untilMs, late.get(peer) ?? untilMs))
    }
    if (wanted.size === 0) this.#late.delete(peer)
    else this.#late.set(peer, wanted)
  }

  /** Whose the address is that lies at `offset` of an IP packet of that version. */
  ownerAt(version: 4 | 6, packet: Uint8Array, offset: number): P | undefined {
    return this.#tries[version].find(packet, offset)?.owner
  }

  /** May the peer send from the address that lies at `offset` of an IP packet of that version? */
  maySend(peer: P, version: 4 | 6, packet: Uint8Array, offset: number, nowMs: number): boolean {
    const holding = this.#tries[version].find(packet, offset)
    if (holding === undefined) return false
    return holding.owner === peer || nowMs < (holding.late.get(peer) ?? -Infinity)
  }
}

function bitsOf(prefix: Prefix): Uint8Array {
  return addressBytes(prefixAddress(prefix))
}
