/** Relay offers: which linked peers pass on what is meant for others. */
import type { Link, Links } from './links.ts'
import type { MeshNode } from './node.ts'

/** A relay serves it; others do not (WIRE: `/nexodus/relay/1` is served by all, for themselves). */
const HOP = '/libp2p/circuit/relay/0.2.0/hop'

export class RelayOffers {
  readonly #offering = new Set<string>()

  constructor({ node }: MeshNode, links: Links, onOffer: () => void) {
    node.addEventListener('peer:identify', ({ detail: { peerId, protocols } }) => {
      const peer = peerId.toString()
      if (!protocols.includes(HOP)) return void this.#offering.delete(peer)
      this.#offering.add(peer)
      onOffer()
    })
    links.onUp(({ who }) => {
      if (who.kind === 'registry') onOffer()
    })
    links.onDown(({ peer }) => {
      if (links.to(peer).length === 0) this.#offering.delete(peer)
    })
  }

  isRelay({ who, peer }: Link): boolean {
    return who.kind === 'registry' || this.#offering.has(peer)
  }
}
