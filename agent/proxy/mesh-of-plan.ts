/** Mesh of the plan: the proxy's view of the organization, from what the agent plans by. */
import {
  hostPrefix,
  type IpAddress,
  isHostPrefix,
  type Prefix,
  prefixAddress,
  prefixContains,
} from '../../protocol/address.ts'
import type { Plan } from '../plan.ts'
import type { MeshView } from './mesh-view.ts'

/** What of a plan the view is made of. */
export type PlannedMesh = Pick<Plan, 'peers'> & {
  readonly tunnel: Pick<Plan['tunnel'], 'addresses' | 'peers'>
}

interface Index {
  readonly byName: ReadonlyMap<string, readonly IpAddress[]>
  readonly names: ReadonlyMap<IpAddress, string>
  readonly addresses: ReadonlySet<IpAddress>
  /** Wider than one address. */
  readonly prefixes: readonly Prefix[]
}

/** @param planned the plan of the moment; a new one is another object
 *  @param ownName of this device */
export function meshOfPlan(planned: () => PlannedMesh, ownName: () => string): MeshView {
  let last: { readonly of: PlannedMesh; readonly index: Index } | undefined
  const index = (): Index => {
    const of = planned()
    if (last?.of !== of) last = { of, index: indexOf(of, ownName()) }
    return last.index
  }
  return {
    resolve: (name) => index().byName.get(name.toLowerCase().replace(/\.$/, '')) ?? [],
    nameOf: (address) => index().names.get(address),
    isOfMesh: (address) =>
      index().addresses.has(address) ||
      index().prefixes.some((prefix) => prefixContains(prefix, hostPrefix(address))),
  }
}

function indexOf({ peers, tunnel }: PlannedMesh, ownName: string): Index {
  const own = tunnel.addresses.map(prefixAddress)
  const byName = new Map([
    ...[...peers.values()].map(
      ({ certificate }) => [certificate.name, certificate.addresses.map(prefixAddress)] as const,
    ),
    [ownName, own] as const,
  ])
  const routed = [...tunnel.peers.values()].flatMap(({ allowedIps }) => allowedIps)
  return {
    byName,
    names: new Map([...byName].flatMap(([name, all]) => all.map((address) => [address, name]))),
    addresses: new Set([...own, ...routed.filter(isHostPrefix).map(prefixAddress)]),
    prefixes: routed.filter((prefix) => !isHostPrefix(prefix)),
  }
}
