/** Links: connections whose other end has shown that it is a device of one of our organizations. */
import { publicKeyFromRaw } from '@libp2p/crypto/keys'
import type { Connection, PeerId } from '@libp2p/interface'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { MalformedError } from '../../protocol/errors.ts'
import {
  type DeviceId,
  deviceIdOf,
  deviceKeyOf,
  type OrganizationId,
  parseKey,
} from '../../protocol/keys.ts'

export interface Link {
  readonly connection: Connection
  /** libp2p peer id as text. */
  readonly peer: string
  readonly organization: OrganizationId
  readonly device: DeviceId
  readonly name: string
}

export type LinkListener = (link: Link) => void

/** Undefined of a peer whose key is not a valid Ed25519 one: no device. */
export function deviceOfPeer(peer: PeerId): DeviceId | undefined {
  if (peer.type !== 'Ed25519') return undefined
  try {
    return deviceIdOf(parseKey<'device'>(peer.publicKey.raw, 'peer id'))
  } catch (error) {
    if (error instanceof MalformedError) return undefined
    throw error
  }
}

/** The libp2p peer id, as text, of the device: both name the same key. */
export function peerOfDevice(device: DeviceId): string {
  return peerIdFromPublicKey(publicKeyFromRaw(deviceKeyOf(device))).toString()
}

export class Links {
  readonly #byConnection = new Map<string, Link>()
  readonly #byPeer = new Map<string, Set<Link>>()
  readonly #byOrganization = new Map<OrganizationId, Set<Link>>()
  readonly #down: LinkListener[] = []

  add(link: Link): void {
    this.#byConnection.set(link.connection.id, link)
    put(this.#byPeer, link.peer, link)
    put(this.#byOrganization, link.organization, link)
  }

  /** Harmless for a connection that never became a link. */
  remove(connection: Connection): void {
    const link = this.#byConnection.get(connection.id)
    if (link === undefined) return
    this.#byConnection.delete(connection.id)
    take(this.#byPeer, link.peer, link)
    take(this.#byOrganization, link.organization, link)
    for (const listener of this.#down) listener(link)
  }

  onDown(listener: LinkListener): void {
    this.#down.push(listener)
  }

  of(connection: Connection): Link | undefined {
    return this.#byConnection.get(connection.id)
  }

  in(organization: OrganizationId): readonly Link[] {
    return [...(this.#byOrganization.get(organization) ?? [])]
  }

  all(): readonly Link[] {
    return [...this.#byConnection.values()]
  }

  /** Has the peer shown, on a connection that is open, that it belongs to some organization here? */
  isKnown(peer: string): boolean {
    return this.#byPeer.has(peer)
  }

  /** Have both shown that they belong to one and the same organization? */
  shareOrganization(a: string, b: string): boolean {
    const others = [...(this.#byPeer.get(b) ?? [])].map(({ organization }) => organization)
    return [...(this.#byPeer.get(a) ?? [])].some(({ organization }) =>
      others.includes(organization),
    )
  }
}

function put<K>(map: Map<K, Set<Link>>, key: K, link: Link): void {
  const links = map.get(key)
  if (links === undefined) map.set(key, new Set([link]))
  else links.add(link)
}

function take<K>(map: Map<K, Set<Link>>, key: K, link: Link): void {
  const links = map.get(key)
  links?.delete(link)
  if (links?.size === 0) map.delete(key)
}
