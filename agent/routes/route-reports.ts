/** Route reports: every prefix, who carries it for this device, who else could, and why. */
import { isDefaultPrefix, isHostPrefix, type Prefix } from '../../protocol/address.ts'
import type { RouteClaim } from '../../protocol/belief.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import type { RouteReport } from '../control/route-report.ts'
import { isOwnRoute } from './route-choice.ts'
import type { RouteView, RouteWatch } from './route-watch.ts'

interface Reporting {
  readonly watch: RouteWatch
  readonly self: DeviceId
  nameOf(device: DeviceId): string
  /** Why this host does not carry a prefix, whoever claims it; undefined: it does. */
  refusalOf(prefix: Prefix): string | undefined
  /** Wall time of a moment of the monotonic clock, seconds. */
  wallTime(ms: number): number
}

export function routeReports(view: RouteView, reporting: Reporting): readonly RouteReport[] {
  const prefixes = new Set([...view.claims.keys(), ...view.standbys.keys()])
  return [...prefixes].toSorted().map((prefix) => report(prefix, view, reporting))
}

function report(prefix: Prefix, view: RouteView, reporting: Reporting): RouteReport {
  const claims = view.claims.get(prefix) ?? []
  const standbys = (view.standbys.get(prefix) ?? []).filter(
    ({ device }) => !claims.some((claim) => claim.device === device),
  )
  const holder = holderOf(prefix, claims, reporting)
  const all = [...claims, ...standbys]
  const claim = claims.find(({ device }) => device === holder)
  const { nameOf, watch } = reporting
  return {
    prefix,
    holder: holder === undefined ? '' : nameOf(holder),
    deviceId: holder ?? '',
    since: new Date(sinceOf(prefix, claim, reporting) * 1000).toISOString(),
    epoch: claim?.envelope.body.epoch ?? 0,
    others: all.filter(({ device }) => device !== holder).map(({ device }) => nameOf(device)),
    why: whyOf(prefix, claims, holder, reporting),
    switches: watch.choice(prefix)?.switches ?? 0,
    claims: all.map((each) => claimReport(each, holder, reporting)),
  }
}

function holderOf(
  prefix: Prefix,
  claims: readonly RouteClaim[],
  { watch, self, refusalOf }: Reporting,
): DeviceId | undefined {
  if (refusalOf(prefix) !== undefined && !isDefaultPrefix(prefix)) return undefined
  return isOwnRoute(self, prefix, claims) ? self : watch.holder(prefix, claims)
}

/** A claim that is only made again is no older for it. */
function sinceOf(
  prefix: Prefix,
  claim: RouteClaim | undefined,
  { watch, wallTime }: Reporting,
): number {
  const since = isHostPrefix(prefix)
    ? watch.followed(prefix)?.sinceMs
    : watch.choice(prefix)?.sinceMs
  const seen = since === undefined || since === -Infinity ? Infinity : wallTime(since)
  return Math.min(seen, claim?.envelope.body.issuedAt ?? seen, wallTime(0) + 2 ** 40)
}

function whyOf(
  prefix: Prefix,
  claims: readonly RouteClaim[],
  holder: DeviceId | undefined,
  { watch, self, nameOf, refusalOf }: Reporting,
): string {
  const refusal = isDefaultPrefix(prefix) ? undefined : refusalOf(prefix)
  if (refusal !== undefined) return `refused: ${refusal}`
  if (claims.length === 0) return 'nobody claims it; only standbys'
  if (isOwnRoute(self, prefix, claims)) return 'this device routes it itself'
  if (isHostPrefix(prefix)) {
    const next = watch.followed(prefix)?.next
    if (next !== undefined) return `is being handed over to ${nameOf(next.device)}`
    return whyFirst(claims)
  }
  if (holder === undefined)
    return isDefaultPrefix(prefix) ? 'no exit is chosen' : 'no router is usable'
  return watch.choice(prefix)?.reason ?? 'first by rank'
}

/** Of claims in their order. */
function whyFirst([first, second]: readonly RouteClaim[]): string {
  if (first === undefined || second === undefined) return 'only claim'
  const isTie = first.envelope.body.epoch === second.envelope.body.epoch
  return isTie ? 'lower device key of the highest epoch' : 'highest epoch'
}

function claimReport(
  { device, prefix, envelope: { body } }: RouteClaim,
  holder: DeviceId | undefined,
  { watch, self, nameOf }: Reporting,
): RouteReport['claims'][number] {
  const reach = watch.reach(device)
  const target = device === holder ? watch.targetIsUp(prefix) : undefined
  return {
    name: nameOf(device),
    deviceId: device,
    state: body.state === 'withdrawn' ? 'standby' : body.state,
    metric: body.metric,
    epoch: body.epoch,
    ...(body.priority === undefined ? {} : { priority: body.priority }),
    health: device === self ? 'self' : reach.isUp ? 'up' : 'down',
    ...(reach.roundTripMs === undefined || device === self
      ? {}
      : { roundTripMs: reach.roundTripMs }),
    ...(target === undefined ? {} : { target: target ? 'up' : 'down' }),
  }
}
