/** Policy routing: all of a host's packets by its exit, as rules and routes of `ip`. Pure.
 *
 *  Nothing that carries the tunnel may loop into it. That is told apart by what a packet has when its route is looked up,
 *  without marks, which Node's sockets can't set: the source port of WireGuard and of checks; the source address of
 *  whatever is bound to an underlay address, such as every accepted connection; and, for what the agent itself dials,
 *  the destination. The kernel looks up the way back by the same rules, so that a strict rp_filter drops nothing. */
import {
  type AddressFamily,
  addressFamily,
  type IpAddress,
  type Prefix,
} from '../../protocol/address.ts'
import { ROUTE_PROTOCOL } from './routes.ts'

export interface ExitRouting {
  readonly tunnelInterface: string
  /** Families that the exit carries; what is of another is unreachable, for it would leave beside the tunnel. */
  readonly families: ReadonlySet<AddressFamily>
  /** Of this device in the tunnel: the first of each family is the source of what the host sends. */
  readonly sources: readonly IpAddress[]
  /** Of the host's other interfaces. */
  readonly underlayAddresses: readonly IpAddress[]
  /** UDP: WireGuard's, and the agent's own. */
  readonly udpPorts: readonly number[]
  /** Servers that the agent itself dials. */
  readonly servers: readonly IpAddress[]
  /** Prefixes with routes of their own: the organization's, and networks inside this host. */
  readonly beside: readonly Prefix[]
  /** Are the networks that this host is attached to reached as before? */
  readonly allowLocal: boolean
  /** Bytes of the largest packet to the exit; undefined: the interface's. */
  readonly mtu: number | undefined
}

/** Between `local` (0) and `main` (32,766). */
export const FIRST_PRIORITY = 7800
/** UDP port of PCP and NAT-PMP servers (RFC 6887 §19.1): the gateway, which is no way around the exit. */
const PORT_MAPPING_PORT = 5351
/** A route that goes behind all others. One more is what IPv6 has by itself, and `ip route flush` leaves in place. */
const LAST_METRIC = 4_294_967_294
/** Links and groups, which no exit carries. */
const LINK_PREFIXES: Readonly<Record<AddressFamily, readonly string[]>> = {
  4: ['169.254.0.0/16', '224.0.0.0/4', '255.255.255.255/32'],
  6: ['fe80::/10', 'ff00::/8'],
}

/** One table for each agent of a host. */
export function exitTable(listenPort: number): number {
  return 100_000 + listenPort
}

/** Selectors and actions, in order, as after `ip rule add priority N`. */
export function exitRules(
  routing: ExitRouting,
  table: number,
  family: AddressFamily,
): readonly string[] {
  const { udpPorts, underlayAddresses, allowLocal } = routing
  const own = underlayAddresses.filter((address) => addressFamily(address) === family)
  return [
    ...udpPorts.map((port) => `ipproto udp sport ${port} lookup main`),
    `ipproto udp dport ${PORT_MAPPING_PORT} lookup main`,
    ...own.map((address) => `from ${address} lookup main`),
    // What main knows better than by its default route.
    ...(allowLocal ? ['lookup main suppress_prefixlength 0'] : []),
    `lookup ${table}`,
  ]
}

/** As after `ip route replace`. A `throw` sends the look-up on to the next rule; where no default route is left, for the
 *  tunnel's interface is gone, nothing leaves. */
export function exitRoutes(
  routing: ExitRouting,
  table: number,
  family: AddressFamily,
): readonly string[] {
  const { tunnelInterface, families, sources, servers, beside, mtu } = routing
  const source = sources.find((address) => addressFamily(address) === family)
  const isCarried = families.has(family) && source !== undefined
  const limit = mtu === undefined ? '' : ` mtu ${mtu}`
  const carried = isCarried ? [`default dev ${tunnelInterface} src ${source}${limit}`] : []
  const around = [...servers, ...beside].filter((each) => addressFamily(each) === family)
  // As the kernel tells them.
  const whole = family === 4 ? /\/32$/ : /\/128$/
  const bare = [...around, ...LINK_PREFIXES[family]].map((each) => each.replace(whole, ''))
  const thrown = [...new Set(bare)].toSorted()
  const end = `table ${table} proto ${ROUTE_PROTOCOL}`
  const closed = `unreachable default metric ${LAST_METRIC}`
  return [...carried, closed, ...thrown.map((prefix) => `throw ${prefix}`)].map(
    (route) => `${route} ${end}`,
  )
}
