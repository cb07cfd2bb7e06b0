/** Underlay: the addresses by which an organization's tunnel runs on this host, or may at any time. Pure. */
import {
  type Endpoint,
  hostPrefix,
  type IpAddress,
  type Prefix,
  prefixContains,
} from '../../protocol/address.ts'
import type { Member } from '../../protocol/belief.ts'
import { ADDRESS_SPACE } from '../../protocol/issuer-request.ts'
import type { DeviceId } from '../../protocol/keys.ts'

/** Addresses that checks have proved, of each peer. */
export type Proved = ReadonlyMap<DeviceId, readonly IpAddress[]>

export const UNDERLAY_LIMITS = {
  /** Proved addresses of one peer. */
  proved: 8,
  addresses: 2048,
} as const

type Peers = ReadonlyMap<DeviceId, Pick<Member, 'endpoints'>>

/** A peer that rests keeps what was proved, while it says that it is there.
 *  @param direct where the tunnel to a peer runs now; undefined: by a relay, or not at all */
export function provedNow(
  before: Proved,
  peers: Peers,
  direct: (device: DeviceId) => Endpoint | undefined,
): Proved {
  return new Map(
    [...peers].map(([device, { endpoints }]) => {
      const said = new Set(endpoints?.body.candidates.map(({ address }) => address))
      const now = direct(device)?.address
      const kept = (before.get(device) ?? []).filter((each) => said.has(each))
      const all = new Set(now === undefined ? kept : [now, ...kept])
      return [device, [...all].slice(0, UNDERLAY_LIMITS.proved)]
    }),
  )
}

export interface UnderlayFacts {
  readonly isFirst: boolean
  readonly proved: Proved
  readonly peers: Peers
  /** Registries, rendezvous and STUN servers, as the issuer and the operator name them. */
  readonly servers: readonly IpAddress[]
  /** As members name them, this device among them: with addresses inside tunnels of other organizations, too. */
  readonly relays: readonly IpAddress[]
  /** Where others reach this host. */
  readonly own: readonly IpAddress[]
  /** What other organizations of this host have. */
  readonly elsewhere: readonly Prefix[]
}

/** Of a further organization only what checks have proved: who could name an address there could keep others' routes away
 *  from it. Of the first all that its tunnel may come to use; but an address that its members merely name, and that many
 *  networks have, says nothing. */
export function underlayOf({
  isFirst,
  proved,
  peers,
  servers,
  relays,
  own,
  elsewhere,
}: UnderlayFacts): readonly IpAddress[] {
  const measured = [...proved.values()].flat()
  if (!isFirst) return sorted(measured)
  const named = [...peers.values()]
    .flatMap(({ endpoints }) => endpoints?.body.candidates ?? [])
    .map(({ address }) => address)
  const isElsewhere = (address: IpAddress): boolean =>
    elsewhere.some((prefix) => prefixContains(prefix, hostPrefix(address)))
  return sorted([
    ...measured,
    ...servers,
    ...own.filter((address) => isPublic(address) || !isElsewhere(address)),
    ...[...relays, ...named].filter(isPublic),
  ])
}

function isPublic(address: IpAddress): boolean {
  const prefix = hostPrefix(address)
  return !ADDRESS_SPACE.some((space) => prefixContains(space, prefix))
}

function sorted(addresses: readonly IpAddress[]): readonly IpAddress[] {
  return [...new Set(addresses)].slice(0, UNDERLAY_LIMITS.addresses).toSorted()
}
