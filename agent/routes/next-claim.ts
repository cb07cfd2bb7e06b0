/** Next claim: what this device says of a prefix after a wish of its operator, or of its own machines. Pure. */
import { isHostPrefix, type Prefix } from '../../protocol/address.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import type { RouteAdvertisement } from '../../protocol/route-advertisement.ts'
import { formatRouteProbe, type RouteProbe } from '../../protocol/route-probe.ts'

/** What is left out stays as it is, but for requests (hand-over, successor), which are said once. */
export type RouteWish =
  | {
      readonly kind: 'advertise'
      readonly metric?: number | undefined
      readonly probe?: RouteProbe | undefined
      /** Milliseconds; others follow after so long, when this device is ready for it. */
      readonly handOverMs?: number | undefined
      /** Others are to use another router until it is advertised without this. */
      readonly isDraining?: boolean
    }
  | { readonly kind: 'stand-by'; readonly priority: number }
  /** Others are to use another router: milliseconds after they have heard of it, or at once. */
  | { readonly kind: 'drain'; readonly handOverMs?: number }
  /** The successor is to take it over. */
  | { readonly kind: 'hand-over'; readonly successor: DeviceId }
  | { readonly kind: 'withdraw' }

export type RouteClaimBody = Omit<RouteAdvertisement, 'sequence' | 'issuedAt' | 'notAfter'>

/** Of routers of a shorter prefix, unless their operator says otherwise. */
export const USUAL_METRIC = 100

/** Undefined: it says so already, or has nothing to say it of.
 *  @param holding whether this device holds the prefix now, and the epoch that outdoes every claim on it */
export function nextClaim(
  prefix: Prefix,
  known: RouteAdvertisement | undefined,
  wish: RouteWish,
  holding: { readonly isHolder: boolean; readonly epoch: number },
): RouteClaimBody | undefined {
  const plain = known === undefined ? undefined : withoutRequests(known)
  switch (wish.kind) {
    case 'advertise':
      return advertised(prefix, plain, wish, holding)
    case 'stand-by': {
      if (plain?.priority === wish.priority) return undefined
      const base = plain ?? { prefix, state: 'withdrawn', epoch: 0, metric: USUAL_METRIC }
      return { ...base, priority: wish.priority }
    }
    case 'drain':
      return plain?.state === 'active' ? draining(plain, wish.handOverMs) : undefined
    case 'hand-over':
      return plain?.state === 'active' ? { ...plain, successor: wish.successor } : undefined
    case 'withdraw':
      if (plain === undefined || !isRouteSaid(plain)) return undefined
      return { prefix, state: 'withdrawn', epoch: plain.epoch, metric: plain.metric }
  }
}

function draining(plain: RouteClaimBody, handOverMs: number | undefined): RouteClaimBody {
  return { ...plain, state: 'draining', ...(handOverMs === undefined ? {} : { handOverMs }) }
}

function advertised(
  prefix: Prefix,
  plain: RouteClaimBody | undefined,
  { metric, probe, handOverMs, isDraining }: Extract<RouteWish, { kind: 'advertise' }>,
  { isHolder, epoch }: { readonly isHolder: boolean; readonly epoch: number },
): RouteClaimBody | undefined {
  const state = isDraining === true ? 'draining' : 'active'
  const isKept = plain?.state === state && (isHolder || !isHostPrefix(prefix))
  const next: RouteClaimBody = {
    ...plain,
    ...{ prefix, state, epoch: isKept ? plain.epoch : epoch },
    metric: metric ?? plain?.metric ?? USUAL_METRIC,
    ...(probe === undefined ? {} : { probe }),
  }
  if (isKept && plain.metric === next.metric && probeText(plain) === probeText(next))
    return undefined
  return handOverMs === undefined ? next : { ...next, handOverMs }
}

function probeText({ probe }: RouteClaimBody): string {
  return probe === undefined ? '' : formatRouteProbe(probe)
}

/** Does it offer anything? Such a statement is made again in time. */
export function isRouteSaid({
  state,
  priority,
}: Pick<RouteClaimBody, 'state' | 'priority'>): boolean {
  return state !== 'withdrawn' || priority !== undefined
}

/** As it is said again: requests are said once. */
export function withoutRequests(claim: RouteClaimBody): RouteClaimBody {
  const { prefix, epoch, metric, state, probe, priority } = claim
  return {
    ...{ prefix, epoch, metric, state },
    ...(probe === undefined ? {} : { probe }),
    ...(priority === undefined ? {} : { priority }),
  }
}
