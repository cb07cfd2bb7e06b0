/** Routes of the tunnel interface, wanted state and difference. They carry a protocol number and a metric
 *  of ours, so that no route of anybody else is ever replaced or removed. */
import { addressFamily, type IpAddress, type Prefix, parsePrefix } from '../../protocol/address.ts'
import { type Fields, optionalNumber, optionalText, recordsOf, textField } from '../json-fields.ts'
import type { Commands } from './run.ts'

/** rtnetlink's rtm_protocol of our routes: free in /etc/iproute2/rt_protos, above the kernel's own. */
export const ROUTE_PROTOCOL = 78
/** A network that the host is attached to (metric 0) goes before ours; a default route by DHCP (100 and
 *  more) does not matter, for ours are more specific. */
export const ROUTE_METRIC = 78

/** Bytes (RFC 8200 §5). The kernel refuses IPv6 on an interface that has less. */
export const LEAST_IPV6_MTU = 1280

export interface Route {
  readonly prefix: Prefix
  /** The source address of what the host itself sends; undefined leaves the choice to the kernel. */
  readonly source?: IpAddress
  /** Bytes of the largest packet by it; the interface's MTU where it is missing. */
  readonly mtu?: number
}

/** What the tunnel is to carry to one peer. */
export interface RoutedPeer {
  readonly allowedIps: readonly Prefix[]
  readonly mtu?: number
}

/** Those of our protocol number on the interface, both families. */
export async function readRoutes(commands: Commands, name: string): Promise<readonly Route[]> {
  const families = await Promise.all(
    ['-4', '-6'].map((family) =>
      commands.run('ip', [
        '-json',
        family,
        'route',
        'show',
        'dev',
        name,
        'proto',
        `${ROUTE_PROTOCOL}`,
      ]),
    ),
  )
  return families.flatMap((text, index) =>
    recordsOf(JSON.parse(text.trim() || '[]'), 'routes').map((fields) => {
      const dst = textField(fields, 'dst')
      const source = optionalText(fields, 'prefsrc')
      return {
        prefix: parsePrefix(dst === 'default' ? (['0.0.0.0/0', '::/0'][index] ?? dst) : dst),
        ...(source === undefined ? {} : { source: source as IpAddress }),
        ...mtuOf(metricsMtu(fields)),
      }
    }),
  )
}

/** Of `"metrics": [{ "mtu": 1400 }]`. */
function metricsMtu({ metrics = [] }: Fields): number | undefined {
  const all = recordsOf(metrics, 'metrics')
  return all.map((fields) => optionalNumber(fields, 'mtu')).find((mtu) => mtu !== undefined)
}

function mtuOf(mtu: number | undefined): { readonly mtu?: number } {
  return mtu === undefined ? {} : { mtu }
}

/** What routes the tunnel's allowed IPs need. A default prefix gets none: whatever carries the tunnel would
 *  loop into it; an exit node is policy routing's job. A route has an MTU of its own where its peer's is less
 *  than the interface's; of IPv6 at least IPv6's least (RFC 8200 §5), whatever the path. */
export function wantedRoutes({
  peers,
  addresses,
  mtu,
}: {
  readonly peers: Iterable<RoutedPeer>
  readonly addresses: readonly Prefix[]
  readonly mtu: number
}): readonly Route[] {
  const sources = new Map(
    addresses.toReversed().map((each) => [addressFamily(each), each.split('/')[0] as IpAddress]),
  )
  const routes = new Map<Prefix, Route>()
  for (const peer of peers) {
    for (const prefix of peer.allowedIps) {
      if (prefix.endsWith('/0')) continue
      const family = addressFamily(prefix)
      const source = sources.get(family)
      const most = family === 6 ? Math.max(peer.mtu ?? mtu, LEAST_IPV6_MTU) : (peer.mtu ?? mtu)
      const limit = mtuOf(most < mtu ? most : undefined)
      routes.set(prefix, { prefix, ...(source === undefined ? {} : { source }), ...limit })
    }
  }
  return [...routes.values()]
}

/** A route that is to be as said, or one that is to be no more. */
export type RouteChange =
  | { readonly what: 'route'; readonly route: Route }
  | { readonly what: 'no-route'; readonly prefix: Prefix }

/** `set` before `remove`. */
export function routeChanges(
  current: readonly Route[],
  wanted: readonly Route[],
): { readonly set: readonly RouteChange[]; readonly remove: readonly RouteChange[] } {
  const has = new Map(current.map((route) => [route.prefix, route]))
  const wants = new Set(wanted.map(({ prefix }) => prefix))
  const isSet = ({ prefix, source, mtu }: Route): boolean => {
    const there = has.get(prefix)
    return there !== undefined && there.source === source && there.mtu === mtu
  }
  return {
    set: wanted.filter((route) => !isSet(route)).map((route) => ({ what: 'route', route })),
    remove: current
      .filter(({ prefix }) => !wants.has(prefix))
      .map(({ prefix }) => ({ what: 'no-route', prefix })),
  }
}

/** A line of `ip -batch`. */
export function routeCommand(name: string, change: RouteChange): string {
  const own = `dev ${name} proto ${ROUTE_PROTOCOL} metric ${ROUTE_METRIC}`
  if (change.what === 'no-route') return `route delete ${change.prefix} ${own}`
  const { prefix, source, mtu } = change.route
  const from = source === undefined ? '' : ` src ${source}`
  return `route replace ${prefix} ${own}${from}${mtu === undefined ? '' : ` mtu ${mtu}`}`
}
