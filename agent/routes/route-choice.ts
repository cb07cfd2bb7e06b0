/** Route choice: who carries each claimed prefix for this device. The plan asks it. */
import { isDefaultPrefix, isHostPrefix, type Prefix } from '../../protocol/address.ts'
import type { RouteClaim } from '../../protocol/belief.ts'
import type { DeviceId } from '../../protocol/keys.ts'

export interface RouteChoice {
  /** One of the claims, which come best first; undefined: nobody's. */
  holder(prefix: Prefix, claims: readonly RouteClaim[]): DeviceId | undefined
  /** Host prefixes that this device still answers for, though another holds them now. */
  readonly alsoServed: ReadonlySet<Prefix>
  /** Which device each prefix has left just now: what is under way from there is still taken. */
  readonly left: ReadonlyMap<Prefix, DeviceId>
  /** Which device each prefix is about to leave in a planned way: what it sends by its alias is taken (SPEC §8.9). */
  readonly departing: ReadonlyMap<Prefix, DeviceId>
  /** Prefixes that others are leaving this device for: it sends by its alias. */
  readonly parting: ReadonlySet<Prefix>
  /** The exit in use; undefined: none. */
  readonly exit: DeviceId | undefined
}

/** Nothing measured, nothing chosen: by rank, and no exit. */
export const BY_RANK: RouteChoice = {
  holder: (prefix, claims) => (isDefaultPrefix(prefix) ? undefined : claims[0]?.device),
  alsoServed: new Set(),
  left: new Map(),
  departing: new Map(),
  parting: new Set(),
  exit: undefined,
}

/** Does this device route the prefix itself? Then it needs nobody for it. */
export function isOwnRoute(
  device: DeviceId,
  prefix: Prefix,
  claims: readonly RouteClaim[],
): boolean {
  return (
    !isHostPrefix(prefix) &&
    claims.some((claim) => claim.device === device && claim.envelope.body.state === 'active')
  )
}
