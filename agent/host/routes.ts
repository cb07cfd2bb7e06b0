/** Routes of the tunnel interface, wanted state and difference. They carry a protocol number and a metric
 *  of ours, so that no route of anybody else is ever replaced or removed. */
import { addressFamily, type IpAddress, type Prefix, parsePrefix } from '../../protocol/address.ts'
import { optionalText, recordsOf, textField } from '../json-fields.ts'
import type { Commands } from './run.ts'

/** rtnetlink's rtm_protocol of our routes: free in /etc/iproute2/rt_protos, above the kernel's own. */
export const ROUTE_PROTOCOL = 78
/** A network that the host is attached to (metric 0) goes before ours; a default route by DHCP (100 and
 *  more) does not matter, for ours are more specific. */
export const ROUTE_METRIC = 78

export interface Route {
  readonly prefix: Prefix
  /** The source address of what the host itself sends; undefined leaves the choice to the kernel. */
  readonly source?: IpAddress
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
      }
    }),
  )
}

/** What routes the tunnel's allowed IPs need. A default prefix gets none: whatever carries the tunnel would
 *  loop into it; an exit node is policy routing's job. */
export function wantedRoutes(
  allowedIps: Iterable<Prefix>,
  addresses: readonly Prefix[],
): readonly Route[] {
  const sources = new Map(
    addresses.toReversed().map((each) => [addressFamily(each), each.split('/')[0] as IpAddress]),
  )
  return [...new Set(allowedIps)]
    .filter((prefix) => !prefix.endsWith('/0'))
    .map((prefix) => {
      const source = sources.get(addressFamily(prefix))
      return source === undefined ? { prefix } : { prefix, source }
    })
}

/** Lines of `ip -batch`: `set` before `remove`. */
export function routeCommands(
  name: string,
  current: readonly Route[],
  wanted: readonly Route[],
): { readonly set: readonly string[]; readonly remove: readonly string[] } {
  const has = new Map(current.map((route) => [route.prefix, route]))
  const wants = new Set(wanted.map(({ prefix }) => prefix))
  const line = (verb: string, { prefix, source }: Route): string =>
    `route ${verb} ${prefix} dev ${name} proto ${ROUTE_PROTOCOL} metric ${ROUTE_METRIC}${
      source === undefined || verb === 'delete' ? '' : ` src ${source}`
    }`
  return {
    set: wanted
      .filter(({ prefix, source }) => !has.has(prefix) || has.get(prefix)?.source !== source)
      .map((route) => line('replace', route)),
    remove: current
      .filter(({ prefix }) => !wants.has(prefix))
      .map((route) => line('delete', route)),
  }
}
