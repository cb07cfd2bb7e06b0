/** Standby: when this device takes a host prefix over from a holder that is not reached. Pure. The order among standbys is
 *  the same everywhere (SPEC §8.5); a lower one acts only where it reaches no higher one either. */
import type { RouteClaim } from '../../protocol/belief.ts'
import type { DeviceId } from '../../protocol/keys.ts'

export interface StandbyView {
  readonly self: DeviceId
  /** Best first; undefined: nobody claims it. */
  readonly holder: DeviceId | undefined
  /** Best first. */
  readonly standbys: readonly RouteClaim[]
  /** Does the device answer, as measured here? */
  isUp(device: DeviceId): boolean
  /** Does anybody answer? Who reaches nobody is cut off itself, and would only take what is not missed. */
  readonly reachesAnybody: boolean
}

export function takesOver({ self, holder, standbys, isUp, reachesAnybody }: StandbyView): boolean {
  const place = standbys.findIndex(({ device }) => device === self)
  if (place < 0 || holder === self || !reachesAnybody) return false
  if (holder !== undefined && isUp(holder)) return false
  return standbys.slice(0, place).every(({ device }) => device === holder || !isUp(device))
}

/** Whom a standby has to watch: the holder, and those that go before it. */
export function watchedBy({
  self,
  holder,
  standbys,
}: Pick<StandbyView, 'self' | 'holder' | 'standbys'>): readonly DeviceId[] {
  const place = standbys.findIndex(({ device }) => device === self)
  if (place < 0 || holder === self) return []
  const before = standbys.slice(0, place).map(({ device }) => device)
  return [...new Set([...(holder === undefined ? [] : [holder]), ...before])]
}
