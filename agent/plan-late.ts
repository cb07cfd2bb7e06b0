/** Late prefixes: from which peers packets are still taken though the prefix is another's now (SPEC §8.8), and by which
 *  aliases (SPEC §8.9). Pure: only of who may hold the prefix still, and by the rules may what the new holder may. */
import { type Prefix, prefixesOverlap } from '../protocol/address.ts'
import type { Member, RouteClaim } from '../protocol/belief.ts'
import type { DeviceId } from '../protocol/keys.ts'
import { tellsApart } from '../protocol/policy-decision.ts'
import type { PolicyRules } from '../protocol/policy-rules.ts'
import { type Alias, isAmongAliases, routeAlias } from '../protocol/route-alias.ts'
import type { Aliases } from './firewall/firewall.ts'
import type { RouteChoice } from './routes/route-choice.ts'

export interface LateView {
  readonly self: DeviceId
  readonly choice: Pick<RouteChoice, 'left' | 'departing' | 'parting'>
  /** Those believed. */
  readonly claims: ReadonlyMap<Prefix, readonly RouteClaim[]>
  /** Whose claim on each prefix is followed. */
  readonly held: ReadonlyMap<Prefix, DeviceId>
  /** What the tunnel sends to each. */
  readonly byDevice: ReadonlyMap<DeviceId, readonly Prefix[]>
  /** The other members. */
  readonly peers: ReadonlyMap<DeviceId, Member>
  readonly own: Member | undefined
  /** Undefined: not understood. */
  readonly policy: PolicyRules | undefined
}

/** What the tunnel takes beside what it sends to each device. */
export interface Late {
  readonly late: ReadonlyMap<DeviceId, readonly Prefix[]>
  readonly byAlias: ReadonlyMap<DeviceId, readonly Prefix[]>
  readonly aliases: Aliases
}

export function latePrefixes(view: LateView): Late {
  const { choice, byDevice, self } = view
  const late = [...choice.left].filter(([prefix, device]) => isLate(view, prefix, device))
  const departing = [...choice.departing].filter(([prefix, device]) =>
    byDevice.get(device)?.includes(prefix),
  )
  const taken = takenAliases([...departing, ...late], byDevice)
  return {
    late: grouped(late),
    byAlias: grouped(taken.map(({ alias, device }) => [alias, device])),
    aliases: {
      arriving: taken.map(({ alias, prefix }) => ({ alias, prefix })),
      leaving: [...choice.parting].flatMap((prefix) => aliasOf(self, prefix)),
    },
  }
}

export function isSameAliases(a: Aliases, b: Aliases): boolean {
  const text = ({ alias, prefix }: Alias): string => `${alias} ${prefix}`
  const [one, other] = [a, b].map(({ arriving, leaving }) =>
    [arriving.map(text), leaving.map(text)].join(' '),
  )
  return one === other
}

function grouped(
  pairs: readonly (readonly [Prefix, DeviceId])[],
): ReadonlyMap<DeviceId, readonly Prefix[]> {
  const byDevice = Map.groupBy(pairs, ([, device]) => device)
  return new Map([...byDevice].map(([device, each]) => [device, each.map(([prefix]) => prefix)]))
}

function aliasOf(device: DeviceId, prefix: Prefix): readonly Alias[] {
  const alias = routeAlias(device, prefix)
  return alias === undefined ? [] : [{ alias, prefix }]
}

/** An alias that meets what somebody has, or another alias, is nobody's. */
function takenAliases(
  pairs: readonly (readonly [Prefix, DeviceId])[],
  byDevice: LateView['byDevice'],
): readonly (Alias & { readonly device: DeviceId })[] {
  if (pairs.length === 0) return []
  const known = [...byDevice.values()].flat().filter(isAmongAliases)
  const taken: (Alias & { readonly device: DeviceId })[] = []
  for (const [prefix, device] of pairs) {
    for (const found of aliasOf(device, prefix)) {
      const others = [...known, ...taken.map(({ alias }) => alias)]
      if (others.some((each) => prefixesOverlap(each, found.alias))) continue
      taken.push({ ...found, device })
    }
  }
  return taken
}

function isLate(
  { claims, held, byDevice, peers, own, policy }: LateView,
  prefix: Prefix,
  device: DeviceId,
): boolean {
  const holder = held.get(prefix)
  if (holder === undefined || holder === device || own === undefined || policy === undefined)
    return false
  if (byDevice.get(holder)?.includes(prefix) !== true) return false
  if (claims.get(prefix)?.some((claim) => claim.device === device) !== true) return false
  const [before, now] = [peers.get(device)?.certificate, peers.get(holder)?.certificate]
  if (before === undefined || now === undefined) return false
  // By certificate it was the holder's all the while, whatever the one before claimed.
  if (now.addresses.includes(prefix)) return false
  return !tellsApart(policy, own.certificate, before, now)
}
