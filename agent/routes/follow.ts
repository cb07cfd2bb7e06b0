/** Follow: whose claim on a host prefix this device acts on, and for how long the old holder still answers. Pure. A claim
 *  of more rank is followed at once; one that is a planned hand-over only when what is under way from the holder before
 *  has had time to arrive (SPEC §8.5). */
import type { Prefix } from '../../protocol/address.ts'
import type { RouteClaim } from '../../protocol/belief.ts'
import type { DeviceId } from '../../protocol/keys.ts'

export interface Followed {
  readonly device: DeviceId
  readonly sinceMs: number
  /** A planned hand-over that has been heard of. */
  readonly next?: { readonly device: DeviceId; readonly dueMs: number } | undefined
  /** This device held it until then, and still answers; -Infinity: it does not. */
  readonly servedUntilMs: number
}

/** Milliseconds from hearing of a planned hand-over to following it: longer than gossip takes, and than it takes to bring
 *  up a path to the new holder. */
export const HAND_OVER_MS = 1000
/** Milliseconds for which the holder before answers on: as long as gossip takes to reach the last observer, and what it
 *  then has under way. Longer than any hand-over. */
export const SERVED_ON_MS = 3000

/** @param claims best first; empty: undefined follows. */
export function follow(
  before: Followed | undefined,
  claims: readonly RouteClaim[],
  self: DeviceId,
  nowMs: number,
): Followed | undefined {
  const [best] = claims
  if (best === undefined) return undefined
  const { device } = best
  const { handOverMs } = best.envelope.body
  if (before === undefined) return { device, sinceMs: nowMs, servedUntilMs: -Infinity }
  if (before.device === device) return before.next === undefined ? before : withoutNext(before)
  const isThere = claims.some((claim) => claim.device === before.device)
  const isPlanned = handOverMs !== undefined && isThere && device !== self && before.device !== self
  if (isPlanned) {
    const next =
      before.next?.device === device ? before.next : { device, dueMs: nowMs + handOverMs }
    if (nowMs < next.dueMs) return { ...before, next }
  }
  const serves = before.device === self && isThere
  return {
    device,
    sinceMs: nowMs,
    servedUntilMs: serves ? nowMs + SERVED_ON_MS + (handOverMs ?? 0) : before.servedUntilMs,
  }
}

function withoutNext({ next: _, ...followed }: Followed): Followed {
  return followed
}

/** When something changes by time alone; Infinity: never. */
export function followDueMs({ next, servedUntilMs }: Followed, nowMs: number): number {
  return Math.min(next?.dueMs ?? Infinity, servedUntilMs > nowMs ? servedUntilMs : Infinity)
}

/** Prefixes that another has now, and this device still answers for. */
export function servedOn(
  all: ReadonlyMap<Prefix, Followed>,
  self: DeviceId,
  nowMs: number,
): ReadonlySet<Prefix> {
  return new Set(
    [...all].flatMap(([prefix, { device, servedUntilMs }]) =>
      servedUntilMs > nowMs && device !== self ? [prefix] : [],
    ),
  )
}
