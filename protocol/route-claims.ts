/** Route claims: who holds each advertised prefix, the same answer on every device (SPEC §8.3). */
import { isHostPrefix, type Prefix } from './address.ts'
import { type RouteClaim, standingOf } from './belief.ts'
import type { DeviceId } from './keys.ts'
import { HIGHEST_EPOCH } from './limits.ts'
import type { RouteAdvertisement } from './route-advertisement.ts'
import type { OrganizationState } from './state.ts'
import type { Seconds } from './time.ts'

/** Every prefix claimed now, its claims best first: the first is the holder. */
export function routeClaims(
  state: OrganizationState,
  now: Seconds,
): ReadonlyMap<Prefix, readonly RouteClaim[]> {
  return believed(state, now, (body) => body.state !== 'withdrawn', byRank)
}

/** Every host prefix that devices stand by for, best first: those that hold or claim it, too. */
export function routeStandbys(
  state: OrganizationState,
  now: Seconds,
): ReadonlyMap<Prefix, readonly RouteClaim[]> {
  const isStandby = ({ prefix, priority }: RouteAdvertisement): boolean =>
    priority !== undefined && isHostPrefix(prefix)
  return believed(state, now, isStandby, byPriority)
}

function believed(
  state: OrganizationState,
  now: Seconds,
  isMeant: (body: RouteAdvertisement) => boolean,
  order: (a: RouteClaim, b: RouteClaim) => number,
): ReadonlyMap<Prefix, readonly RouteClaim[]> {
  const claims: RouteClaim[] = []
  for (const envelope of state.routes.values()) {
    if (!isMeant(envelope.body) || standingOf(state, envelope, now) !== undefined) continue
    claims.push({ device: envelope.signer as DeviceId, prefix: envelope.body.prefix, envelope })
  }
  const byPrefix = Map.groupBy(claims, ({ prefix }) => prefix)
  return new Map(
    [...byPrefix.keys()]
      .toSorted()
      .map((prefix) => [prefix, (byPrefix.get(prefix) ?? []).toSorted(order)]),
  )
}

function byPriority(a: RouteClaim, b: RouteClaim): number {
  const [x = 0, y = 0] = [a.envelope.body.priority, b.envelope.body.priority]
  return y - x || (a.device < b.device ? -1 : 1)
}

function byRank(a: RouteClaim, b: RouteClaim): number {
  const [x, y] = [a.envelope.body, b.envelope.body]
  if (x.state !== y.state) return x.state === 'active' ? -1 : 1
  const rank = isHostPrefix(x.prefix) ? y.epoch - x.epoch : x.metric - y.metric
  return rank !== 0 ? rank : a.device < b.device ? -1 : 1
}

/** The epoch that outdoes every claim known on a host prefix. One that is not believed counts too, for its
 *  device may come back; but not where it is so high that it can only be meant to use the numbers up. */
export function nextEpoch(state: OrganizationState, prefix: Prefix, now: Seconds): number {
  const known = [...state.routes.values()].filter(
    (each) =>
      each.body.prefix === prefix &&
      (each.body.epoch < UNLIKELY_EPOCH || standingOf(state, each, now) === undefined),
  )
  return Math.min(Math.max(0, ...known.map(({ body }) => body.epoch)) + 1, HIGHEST_EPOCH)
}
/** Nobody moves a prefix a thousand million times. */
const UNLIKELY_EPOCH = 2 ** 30
