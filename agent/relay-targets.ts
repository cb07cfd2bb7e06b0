/** Relay targets: the relays that this device may attach to, by what it believes. */
import { base58btc } from 'multiformats/bases/base58'
import { equal } from '../crypto/bytes.ts'
import { formatEndpoint, hostPrefix, type Prefix, prefixContains } from '../protocol/address.ts'
import { membersOf } from '../protocol/belief.ts'
import type { DeviceId } from '../protocol/keys.ts'
import type { Rendezvous } from '../protocol/manifest.ts'
import { relayAddressOf } from '../protocol/relay.ts'
import { ANY_REGISTRY, type RelayId, relayIdOf } from '../protocol/relay-attach.ts'
import type { OrganizationState } from '../protocol/state.ts'
import type { Seconds } from '../protocol/time.ts'
import { isUsable } from './host/usable-address.ts'
import type { AttachTarget } from './mesh/attached-relays.ts'
import type { RelayParty } from './mesh/relay-ends.ts'
import { endpointsIn } from './plan-peers.ts'

/** Relays that are asked at once, of these so many registries' endpoints at most where members relay, too. */
const [TARGETS, REGISTRIES] = [4, 2]
/** What an Ed25519 peer id begins with (libp2p's peer-ids specification): an identity hash of 36 bytes, a key of type 1
 *  and its 32 bytes. */
const PEER_ID_HEAD = Uint8Array.of(0x00, 0x24, 0x08, 0x01, 0x12, 0x20)

/** Registries first: everybody is there. Nothing inside the tunnel. Of many others each turn has others. */
export function attachTargets(
  meetings: readonly Rendezvous[],
  state: OrganizationState,
  { self, overlay, now, turn }: AttachContext,
): readonly AttachTarget[] {
  const isOutside = ({ endpoint: { address } }: AttachTarget): boolean =>
    !overlay.some((prefix) => prefixContains(prefix, hostPrefix(address)))
  const registries = turned(meetings.flatMap(registryTargets).filter(isOutside), turn)
  const members = turned(memberTargets(state, self, now).filter(isOutside), turn)
  const most = Math.max(REGISTRIES, TARGETS - members.length)
  return [...registries.slice(0, most), ...members].slice(0, TARGETS)
}

export interface AttachContext {
  readonly self: DeviceId
  /** Prefixes inside the tunnel. */
  readonly overlay: readonly Prefix[]
  readonly now: Seconds
  /** How often was asked before. */
  readonly turn: number
}

/** Each endpoint once. The next ones in each turn where they are too many for one. */
function turned(targets: readonly AttachTarget[], turn: number): readonly AttachTarget[] {
  const all = [...new Map(targets.map((each) => [formatEndpoint(each.endpoint), each])).values()]
  if (all.length <= REGISTRIES) return all
  const first = (turn * REGISTRIES) % all.length
  return [...all.slice(first), ...all.slice(0, first)]
}

/** A registry relays where it answers STUN, by the key of its peer id. */
function registryTargets({ multiaddrs, stun }: Rendezvous): readonly AttachTarget[] {
  const ids = multiaddrs.flatMap((text) => {
    const id = registryIdOf(text)
    return id === undefined ? [] : [id]
  })
  if (ids.length === 0) return []
  const relays = new Map(
    ids.map((id): [RelayId, RelayParty] => [id, { id, device: undefined, name: 'registry' }]),
  )
  return endpointsIn(stun).map((endpoint) => ({ endpoint, to: ANY_REGISTRY, relays }))
}

/** Undefined where the multiaddr names no Ed25519 peer id. */
function registryIdOf(multiaddr: string): RelayId | undefined {
  const [, peer] = /\/p2p\/(12D3KooW[1-9A-HJ-NP-Za-km-z]+)$/.exec(multiaddr) ?? []
  if (peer === undefined) return undefined
  const bytes = base58btc.decode(`z${peer}`)
  const isKey = bytes.length === 38 && equal(bytes.subarray(0, 6), PEER_ID_HEAD)
  return isKey ? relayIdOf(bytes.subarray(6)) : undefined
}

/** A member relays at the number of its mesh's TCP port. */
function memberTargets(
  state: OrganizationState,
  self: DeviceId,
  now: Seconds,
): readonly AttachTarget[] {
  return [...membersOf(state, now).values()].flatMap(({ certificate, endpoints }) => {
    const { device, name, roles } = certificate
    if (device === self || !roles.includes('relay')) return []
    const relays = new Map([[device as RelayId, { id: device, device, name }]])
    const [endpoint] = endpointsIn((endpoints?.body.multiaddrs ?? []).flatMap(tcpEndpoint)).filter(
      ({ address }) => isUsable(address),
    )
    return endpoint === undefined ? [] : [{ endpoint, to: relayAddressOf(device), relays }]
  })
}

/** As text, of a multiaddr of one host alone; members are believed no others. */
function tcpEndpoint(multiaddr: string): readonly string[] {
  const [, family, host, port] =
    /^\/ip([46])\/([^/]+)\/tcp\/(\d+)(?:\/p2p\/[^/]+)?$/.exec(multiaddr) ?? []
  return family === undefined ? [] : [family === '6' ? `[${host}]:${port}` : `${host}:${port}`]
}
