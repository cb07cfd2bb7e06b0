/** Mesh of the plan: the proxy's view of the organization, from what the agent plans by. */
import {
  hostPrefix,
  type IpAddress,
  isHostPrefix,
  type Prefix,
  prefixAddress,
  prefixContains,
} from '../../protocol/address.ts'
import { resolveName, type Zones } from '../names/zones.ts'
import type { Plan } from '../plan.ts'
import type { KnownMesh } from './mesh-view.ts'

/** What of a plan the view is made of. */
export type PlannedMesh = {
  readonly tunnel: Pick<Plan['tunnel'], 'addresses' | 'peers'>
}

interface Index {
  readonly names: ReadonlyMap<IpAddress, string>
  readonly addresses: ReadonlySet<IpAddress>
  /** Wider than one address. */
  readonly prefixes: readonly Prefix[]
}

/** @param planned the plan of the moment; a new one is another object
 *  @param zones the names of the moment; new ones are another object */
export function meshOfPlan(planned: () => PlannedMesh, zones: () => Zones): KnownMesh {
  let last: { readonly of: PlannedMesh; readonly by: Zones; readonly index: Index } | undefined
  const index = (): Index => {
    const [of, by] = [planned(), zones()]
    if (last?.of !== of || last.by !== by) last = { of, by, index: indexOf(of, by) }
    return last.index
  }
  return {
    resolve: (name) => resolveName(zones(), name),
    nameOf: (address) => index().names.get(address),
    isOfMesh: (address) =>
      index().addresses.has(address) ||
      index().prefixes.some((prefix) => prefixContains(prefix, hostPrefix(address))),
  }
}

function indexOf({ tunnel }: PlannedMesh, { listed }: Zones): Index {
  const own = tunnel.addresses.map(prefixAddress)
  const routed = [...tunnel.peers.values()].flatMap(({ allowedIps }) => allowedIps)
  const devices = listed.filter(({ origin }) => origin === 'device')
  return {
    names: new Map(
      devices.flatMap(({ short, addresses }) => addresses.map((address) => [address, short])),
    ),
    addresses: new Set([...own, ...routed.filter(isHostPrefix).map(prefixAddress)]),
    prefixes: routed.filter((prefix) => !isHostPrefix(prefix)),
  }
}
