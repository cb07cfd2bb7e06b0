/** Filtering behaviour (RFC 4787 §5), as far as it is proved: by members' checks that came from where we had
 *  sent nothing. That a check did not come proves nothing. */
import type { Endpoint } from '../../../protocol/address.ts'
import type { DeviceId } from '../../../protocol/keys.ts'
import type { NatFiltering } from '../../../protocol/nat-report.ts'
import type { Unasked } from './sent-ledger.ts'

/** How long an arrival proves something, milliseconds: an hour. */
const ARRIVAL_MS = 3_600_000
/** Arrivals remembered, one a member. */
const ARRIVALS = 16
/** Members that must agree: one alone may sit on our side of the NAT and forge its source. */
const WITNESSES = 2

export interface Arrival {
  /** Whose check it was. */
  readonly device: DeviceId
  readonly from: Endpoint
  /** To what of the source nothing had been sent. */
  readonly unasked: Unasked
  readonly atMs: number
}

/** With one more; of each member the one that proves most stays. */
export function withArrival(arrivals: readonly Arrival[], added: Arrival): readonly Arrival[] {
  const live = arrivals.filter(({ atMs }) => atMs > added.atMs - ARRIVAL_MS)
  const known = live.find(({ device }) => device === added.device)
  if (known?.unasked === 'address' && added.unasked === 'port') return live
  return [added, ...live.filter((one) => one !== known)].slice(0, ARRIVALS)
}

export function filteringOf(arrivals: readonly Arrival[], nowMs: number): NatFiltering {
  const live = arrivals.filter(({ atMs }) => atMs > nowMs - ARRIVAL_MS)
  if (live.filter(({ unasked }) => unasked === 'address').length >= WITNESSES)
    return 'endpoint-independent'
  return live.length >= WITNESSES ? 'address-dependent' : 'unknown'
}
