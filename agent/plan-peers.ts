/** The plan's peers as path/ and mesh/ want them, and where the organization meets. */
import { toHex } from '../crypto/bytes.ts'
import {
  type Endpoint,
  formatEndpoint,
  isDefaultPrefix,
  isHostPrefix,
  type Prefix,
  parseEndpoint,
  prefixAddress,
} from '../protocol/address.ts'
import { currentManifest, type Member } from '../protocol/belief.ts'
import { MalformedError } from '../protocol/errors.ts'
import type { DeviceId } from '../protocol/keys.ts'
import type { Rendezvous } from '../protocol/manifest.ts'
import type { OrganizationState } from '../protocol/state.ts'
import type { Seconds } from '../protocol/time.ts'
import type { MeshPeer } from './mesh/mesh.ts'
import type { PathPeer, PathStatus, Paths } from './path/paths.ts'
import type { Plan } from './plan.ts'
import type { Join } from './state-directory.ts'
import type { TunnelConfig, TunnelPeer } from './tunnel/backend.ts'

/** The same object as before for a member of whom nothing is new. */
export function pathPeers({ peers }: Plan): readonly PathPeer[] {
  return [...peers.values()].map((member) => {
    const { certificate, endpoints } = member
    const known = seen.get(certificate)
    if (known !== undefined && known.endpoints === endpoints) return known.peer
    const peer = pathPeer(member)
    seen.set(certificate, { endpoints, peer })
    return peer
  })
}
const seen = new WeakMap<
  Member['certificate'],
  { readonly endpoints: Member['endpoints']; readonly peer: PathPeer }
>()

function pathPeer({ certificate, endpoints }: Member): PathPeer {
  return {
    device: certificate.device,
    name: certificate.name,
    wireguardKey: certificate.wireguardKey,
    candidates: endpoints?.body.candidates ?? [],
    nat: endpoints?.body.nat ?? [],
  }
}

export function meshPeers({ peers }: Plan): readonly MeshPeer[] {
  return [...peers].map(([device, { certificate, endpoints }]) => ({
    device,
    name: certificate.name,
    updateSequence: endpoints?.body.sequence ?? 0,
    multiaddrs: endpoints?.body.multiaddrs ?? [],
    overlayAddresses: certificate.addresses.map(prefixAddress),
  }))
}

/** Of every rendezvous the manifest lists, and of the one that enrolled us. */
export function rendezvousMultiaddrs(
  state: OrganizationState,
  join: Join,
  now: Seconds,
): readonly string[] {
  return [...new Set(meetings(state, join, now).flatMap(({ multiaddrs }) => multiaddrs))]
}

/** What can't be read as an endpoint is left out: a later version may write more there. */
export function stunServers(
  state: OrganizationState,
  join: Join,
  now: Seconds,
): readonly Endpoint[] {
  return endpointsIn([...new Set(meetings(state, join, now).flatMap(({ stun }) => stun))])
}

/** Those of them that are endpoints. */
export function endpointsIn(texts: readonly string[]): readonly Endpoint[] {
  return texts.flatMap((text) => {
    try {
      return [parseEndpoint(text)]
    } catch (error) {
      if (error instanceof MalformedError) return []
      throw error
    }
  })
}

/** A path as a log line tells it: kind, endpoint as text, round-trip time to a tenth of a millisecond. */
export function describePath(status: PathStatus): Record<string, string | number> {
  return {
    path: status.kind,
    ...(status.kind === 'direct' ? { endpoint: formatEndpoint(status.endpoint) } : {}),
    ...('roundTripMs' in status && status.roundTripMs !== undefined
      ? { roundTripMs: Math.round(status.roundTripMs * 10) / 10 }
      : {}),
  }
}

/** The same with the peer's name. */
export function pathChange(
  { peers }: Plan,
  device: DeviceId,
  status: PathStatus,
): Record<string, string | number | undefined> {
  return { peer: peers.get(device)?.certificate.name, ...describePath(status) }
}

/** What lies inside tunnels: the organization's ranges, and networks behind routers, whose own addresses there would
 *  loop; and what other organizations of this host have, which is nobody's way to it. */
export function overlayPrefixes(
  state: OrganizationState,
  { tunnel, elsewhere }: Plan,
  now: Seconds,
): readonly Prefix[] {
  const routed = routedOf.get(tunnel) ?? routedPrefixes(tunnel)
  routedOf.set(tunnel, routed)
  return [...(currentManifest(state, now)?.body.ranges ?? []), ...routed, ...elsewhere]
}
/** Asked for each address that is heard of; a plan never changes. */
const routedOf = new WeakMap<TunnelConfig, readonly Prefix[]>()

function routedPrefixes({ peers }: TunnelConfig): readonly Prefix[] {
  return [...peers.values()].flatMap(({ allowedIps }) =>
    allowedIps.filter((prefix) => !isHostPrefix(prefix) && !isDefaultPrefix(prefix)),
  )
}

/** The planned tunnel with what its paths carry; peers that it does not have yet start at the endpoint that
 *  paths give them. */
export function withPaths(
  { tunnel, peers }: Plan,
  configured: ReadonlySet<string>,
  paths: Paths | undefined,
): TunnelConfig {
  if (paths === undefined) return tunnel
  const known = [...peers].flatMap(([device, { certificate }]): [string, TunnelPeer][] => {
    const key = toHex(certificate.wireguardKey)
    const peer = tunnel.peers.get(key)
    if (peer === undefined) return []
    const mtu = paths.mtu(device)
    const endpoint = configured.has(key) ? undefined : paths.endpointFor(device)
    return [
      [key, { ...peer, ...(mtu === undefined ? {} : { mtu }), ...(endpoint && { endpoint }) }],
    ]
  })
  return { ...tunnel, peers: new Map([...tunnel.peers, ...known]) }
}

/** Where devices meet, as the manifest and the registry say it. */
export function meetings(
  state: OrganizationState,
  join: Join,
  now: Seconds,
): readonly Rendezvous[] {
  return [...(currentManifest(state, now)?.body.rendezvous ?? []), join.rendezvous]
}
