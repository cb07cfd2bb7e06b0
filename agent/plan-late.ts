/** Late prefixes: from which peers packets are still taken though the prefix is another's now (SPEC §8.8). Pure: only of
 *  who may hold the prefix still, and by the rules may what the new holder may. */
import type { Prefix } from '../protocol/address.ts'
import type { Member, RouteClaim } from '../protocol/belief.ts'
import type { DeviceId } from '../protocol/keys.ts'
import { tellsApart } from '../protocol/policy-decision.ts'
import type { PolicyRules } from '../protocol/policy-rules.ts'

export interface LateView {
  /** Which device each prefix has left just now. */
  readonly left: ReadonlyMap<Prefix, DeviceId>
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

export function latePrefixes(view: LateView): ReadonlyMap<DeviceId, readonly Prefix[]> {
  const late = [...view.left].filter(([prefix, device]) => isLate(view, prefix, device))
  const byDevice = Map.groupBy(late, ([, device]) => device)
  return new Map([...byDevice].map(([device, pairs]) => [device, pairs.map(([prefix]) => prefix)]))
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
