/** Difference between two tunnel configurations, as the steps from one to the other. Pure. */
import type { AgreementKeyPair, AgreementPublicKey } from '../../crypto/agreement.ts'
import { equal, utf8 } from '../../crypto/bytes.ts'
import { sha256 } from '../../crypto/hash.ts'
import { type Endpoint, type Prefix, sameEndpoint } from '../../protocol/address.ts'
import { sourcesOf, type TunnelConfig, type TunnelPeer } from './backend.ts'

/** A public key that nobody has the private key of: who drops allowed IPs gives them to it. */
export const NOBODY = sha256(utf8('nexodus: nobody has this key'))

/** One step on one peer. */
export type PeerStep =
  | {
      readonly kind: 'set'
      readonly publicKey: AgreementPublicKey
      readonly isNew: boolean
      readonly endpoint?: Endpoint
      /** Seconds. */
      readonly persistentKeepalive?: number
      /** Added to the peer; WireGuard takes each away from the peer that had it in the same act. */
      readonly gained: readonly Prefix[]
    }
  | {
      readonly kind: 'drop'
      readonly publicKey: AgreementPublicKey
      /** Taken from the peer, and from now on nobody's. */
      readonly dropped: readonly Prefix[]
    }
  | {
      readonly kind: 'late'
      readonly publicKey: AgreementPublicKey
      /** Others have them, and the peer may send from them still: from these and no more. */
      readonly prefixes: readonly Prefix[]
    }
  | { readonly kind: 'remove'; readonly publicKey: AgreementPublicKey }

export interface WireGuardChange {
  readonly privateKey?: AgreementKeyPair
  readonly listenPort?: number
  /** In the order in which they must be made. */
  readonly peers: readonly PeerStep[]
}

/** A configuration of which the key may be unknown. */
export type KnownConfig = Omit<TunnelConfig, 'privateKey'> & {
  readonly privateKey?: AgreementKeyPair
}

export interface TunnelChange {
  readonly wireGuard: WireGuardChange
  /** Do addresses, MTU or routed prefixes differ? Their own difference is made against the host. */
  readonly isInterfaceChanged: boolean
}

/** Steps that lead from `current` (undefined: a new tunnel with nothing) to `wanted`: peers gain first, then
 *  drop, are late, then go, so that a prefix which has an owner before and after has one after every step.
 *  Throws a plain Error if a prefix is wanted by two peers: a caller's bug. */
export function diffTunnel(current: KnownConfig | undefined, wanted: TunnelConfig): TunnelChange {
  return {
    wireGuard: {
      ...(isSameKey(current?.privateKey, wanted.privateKey)
        ? {}
        : { privateKey: wanted.privateKey }),
      ...(current?.listenPort === wanted.listenPort ? {} : { listenPort: wanted.listenPort }),
      peers: diffPeers(current?.peers ?? new Map(), wanted.peers),
    },
    isInterfaceChanged:
      current === undefined ||
      current.mtu !== wanted.mtu ||
      !isSameList(current.addresses, wanted.addresses) ||
      !isSameRouting(current, wanted),
  }
}

/** True where there is nothing to do. */
export function isEmpty(change: WireGuardChange): boolean {
  return (
    change.privateKey === undefined && change.listenPort === undefined && change.peers.length === 0
  )
}

/** Every allowed IP of every peer, with its MTU. */
function routingOf({ peers }: Pick<TunnelConfig, 'peers'>): ReadonlyMap<Prefix, number> {
  return new Map(
    [...peers.values()].flatMap(({ allowedIps, mtu = Infinity }) =>
      allowedIps.map((prefix): [Prefix, number] => [prefix, mtu]),
    ),
  )
}

type Routed = Pick<TunnelConfig, 'peers'>

function isSameRouting(a: Routed, b: Routed): boolean {
  const [before, after] = [routingOf(a), routingOf(b)]
  return (
    before.size === after.size && [...after].every(([prefix, mtu]) => before.get(prefix) === mtu)
  )
}

type Peers = ReadonlyMap<string, TunnelPeer>

function diffPeers(current: Peers, wanted: Peers): readonly PeerStep[] {
  const holdings = holdingsOf(current)
  refuseSharedPrefixes(wanted)
  const sets = [...wanted].flatMap(([key, peer]) => setStep(key, current.get(key), peer, holdings))
  const drops = [...wanted].flatMap(([key, peer]) => dropStep(key, peer, holdings))
  const lates = [...wanted].flatMap(([key, peer]) => lateStep(current.get(key), peer))
  const removals = [...current]
    .filter(([key]) => !wanted.has(key))
    .map(([, { publicKey }]): PeerStep => ({ kind: 'remove', publicKey }))
  return [...sets, ...drops, ...lates, ...removals]
}

/** Who has which prefix while the steps are made. */
interface Holdings {
  readonly owner: Map<Prefix, string>
  readonly prefixes: Map<string, Set<Prefix>>
}

function holdingsOf(peers: Peers): Holdings {
  const prefixes = new Map([...peers].map(([key, peer]) => [key, new Set(sourcesOf(peer))]))
  const owner = new Map<Prefix, string>()
  for (const [key, held] of prefixes) for (const prefix of held) owner.set(prefix, key)
  return { owner, prefixes }
}

function setStep(
  key: string,
  before: TunnelPeer | undefined,
  peer: TunnelPeer,
  holdings: Holdings,
): readonly PeerStep[] {
  const held = holdings.prefixes.get(key) ?? new Set<Prefix>()
  const gained = [...new Set(sourcesOf(peer))].filter((prefix) => !held.has(prefix))
  const change = {
    ...(peer.endpoint === undefined || sameEndpoint(before?.endpoint, peer.endpoint)
      ? {}
      : { endpoint: peer.endpoint }),
    ...(before?.persistentKeepalive === peer.persistentKeepalive
      ? {}
      : { persistentKeepalive: peer.persistentKeepalive }),
  }
  for (const prefix of gained) {
    holdings.prefixes.get(holdings.owner.get(prefix) ?? '')?.delete(prefix)
    holdings.owner.set(prefix, key)
    held.add(prefix)
  }
  holdings.prefixes.set(key, held)
  const isNew = before === undefined
  if (!isNew && gained.length === 0 && Object.keys(change).length === 0) return []
  return [{ kind: 'set', publicKey: peer.publicKey, isNew, ...change, gained }]
}

function dropStep(key: string, peer: TunnelPeer, { prefixes }: Holdings): readonly PeerStep[] {
  const wanted = new Set(sourcesOf(peer))
  const dropped = [...(prefixes.get(key) ?? [])].filter((prefix) => !wanted.has(prefix))
  if (dropped.length === 0) return []
  return [{ kind: 'drop', publicKey: peer.publicKey, dropped }]
}

function lateStep(before: TunnelPeer | undefined, peer: TunnelPeer): readonly PeerStep[] {
  const { publicKey, lateIps = [] } = peer
  if (isSameList(before?.lateIps ?? [], lateIps)) return []
  return [{ kind: 'late', publicKey, prefixes: lateIps }]
}

function refuseSharedPrefixes(wanted: Peers): void {
  const seen = new Set<Prefix>()
  for (const peer of wanted.values()) {
    for (const prefix of new Set(sourcesOf(peer))) {
      if (seen.has(prefix)) throw new Error(`allowed IP ${prefix} is wanted by two peers`)
      seen.add(prefix)
    }
  }
}

function isSameKey(a: AgreementKeyPair | undefined, b: AgreementKeyPair): boolean {
  return a !== undefined && equal(a.publicKey, b.publicKey)
}

function isSameList(a: readonly Prefix[], b: readonly Prefix[]): boolean {
  return a.length === b.length && a.every((each, index) => each === b[index])
}
