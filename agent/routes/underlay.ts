/** Underlay: what carries the tunnel of a host that uses an exit, and so must not go by it. Pure. */
import { isIP } from 'node:net'
import { hostPrefix, type IpAddress, type Prefix, parseIpAddress } from '../../protocol/address.ts'
import { currentManifest, membersOf } from '../../protocol/belief.ts'
import type { OrganizationState } from '../../protocol/state.ts'
import type { Seconds } from '../../protocol/time.ts'

/** Servers at most; beyond it relays of members are left out first. */
const SERVERS = 1024

/** Addresses that the agent itself dials: of the rendezvous that the issuer names, and of members that the issuer made a
 *  relay or an exit. Not of other members: whoever could name an address here could lead packets around the exit. */
export function underlayServers(
  state: OrganizationState,
  rendezvous: readonly string[],
  now: Seconds,
): readonly IpAddress[] {
  const manifest = currentManifest(state, now)?.body.rendezvous ?? []
  const issued = manifest.flatMap(({ multiaddrs, stun }) => [...multiaddrs, ...stun])
  const members = [...membersOf(state, now).values()].flatMap(({ certificate, endpoints }) =>
    certificate.roles.some((role) => role !== 'router') ? (endpoints?.body.multiaddrs ?? []) : [],
  )
  const found = [...rendezvous, ...issued, ...members].flatMap(addressIn)
  return [...new Set(found)].slice(0, SERVERS)
}

/** Of a multiaddr or an endpoint; none where it has a name. */
export function addressIn(text: string): readonly IpAddress[] {
  const [, address = ''] =
    /^\/ip[46]\/([^/]+)\//.exec(text) ?? /^\[?([^\]]+)\]?:\d+$/.exec(text) ?? []
  return isIP(address) === 0 ? [] : [parseIpAddress(address)]
}

/** Prefixes inside the tunnel that main has routes for, with sources and MTUs of their own. */
export function besidePrefixes(
  routed: readonly Prefix[],
  containers: readonly Prefix[],
  servers: readonly IpAddress[],
): readonly Prefix[] {
  const thrown = new Set(servers.map(hostPrefix))
  return [...new Set([...routed, ...containers])].filter((prefix) => !thrown.has(prefix))
}
