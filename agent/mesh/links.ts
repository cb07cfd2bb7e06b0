/** Links: connections whose other end has said hello and was admitted. */
import type { Connection } from '@libp2p/interface'
import type { HelloPeer } from '../../protocol/hello.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import { relayIdOf } from '../../protocol/relay-attach.ts'
import type { RelayParty } from './relay-ends.ts'

/** `overlay`: through the tunnel; `circuit`: through a libp2p relay; `direct`: neither. */
export type LinkKind = 'direct' | 'overlay' | 'circuit'

export interface Link {
  readonly connection: Connection
  readonly who: HelloPeer
  /** libp2p peer id as text. */
  readonly peer: string
  readonly kind: LinkKind
  /** Wall time, milliseconds. */
  readonly sinceMs: number
}

export type LinkListener = (link: Link) => void

export function deviceOfLink({ who }: Link): DeviceId | undefined {
  return who.kind === 'device' ? who.device : undefined
}

/** What people call the other end. */
export function nameOfLink({ who }: Link): string {
  return who.kind === 'device' ? who.name : 'registry'
}

/** The other end as a relay. */
export function relayOfLink(link: Link): RelayParty {
  const { remotePeer } = link.connection
  const id = remotePeer.type === 'Ed25519' ? relayIdOf(remotePeer.publicKey.raw) : link.peer
  return { id, device: deviceOfLink(link), name: nameOfLink(link) }
}

export class Links {
  readonly #links = new Map<string, Link>()
  readonly #up: LinkListener[] = []
  readonly #down: LinkListener[] = []

  add(link: Link): void {
    this.#links.set(link.connection.id, link)
    for (const listener of this.#up) listener(link)
  }

  /** Harmless for a connection that never became a link. */
  remove(connection: Connection): void {
    const link = this.#links.get(connection.id)
    if (!this.#links.delete(connection.id) || link === undefined) return
    for (const listener of this.#down) listener(link)
  }

  onUp(listener: LinkListener): void {
    this.#up.push(listener)
  }

  onDown(listener: LinkListener): void {
    this.#down.push(listener)
  }

  all(): readonly Link[] {
    return [...this.#links.values()]
  }

  of(connection: Connection): Link | undefined {
    return this.#links.get(connection.id)
  }

  /** @param peer libp2p peer id as text */
  to(peer: string): readonly Link[] {
    return this.all().filter((link) => link.peer === peer)
  }
}
