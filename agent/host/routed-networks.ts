/** Routed networks: where routes of this host lead that are not ours, beside what it is attached to: private networks by a
 *  gateway, containers of other hosts, tunnels of others. */
import {
  type AddressFamily,
  addressFamily,
  type Prefix,
  parsePrefix,
  prefixContains,
  prefixLength,
} from '../../protocol/address.ts'
import { localPrefixes } from './local-addresses.ts'
import { type NetworkRoute, networkRoutes } from './proc-routes.ts'
import { ROUTE_METRIC } from './routes.ts'

/** Bits: shorter prefixes are default routes in pieces (`0.0.0.0/1` and `128.0.0.0/1`, `2000::/3`). */
const PIECES: Readonly<Record<AddressFamily, number>> = { 4: 8, 6: 7 }
/** A host with more routes than this has the internet's own. */
const MOST_ROUTES = 1024
/** RFC 1918, RFC 6598, RFC 4193. */
const PRIVATE = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', 'fc00::/7'].map(
  (text) => parsePrefix(text),
)

/** By all routes but the tunnel's; sorted, each once. */
export function routedNetworks(
  tunnelInterface: string,
  routes: readonly NetworkRoute[] = networkRoutes(),
): readonly Prefix[] {
  const found = routes
    .filter(({ interfaceName }) => interfaceName !== tunnelInterface)
    .map(({ prefix }) => prefix)
    .filter((prefix) => prefixLength(prefix) >= PIECES[addressFamily(prefix)])
  const own = [...new Set(found)].toSorted()
  if (own.length <= MOST_ROUTES) return own
  return own.filter((prefix) => PRIVATE.some((each) => prefixContains(each, prefix)))
}

/** Those that no organization of this host leads to. */
export function foreignNetworks(
  tunnelInterface: string,
  routes: readonly NetworkRoute[] = networkRoutes(),
): readonly Prefix[] {
  const foreign = routes.filter(({ metric }) => metric !== ROUTE_METRIC)
  return routedNetworks(tunnelInterface, foreign)
}

/** What is this host's own side, and not the internet: where it is attached, and where its routes lead. */
export function hostNetworks(tunnelInterface: string): readonly Prefix[] {
  return [...new Set([...localPrefixes(tunnelInterface), ...routedNetworks(tunnelInterface)])]
}
