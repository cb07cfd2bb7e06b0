/** Policy facts: what of the policy is so between this device and one other, and whether it is enforced. */
import type { DeviceId } from '../../protocol/keys.ts'
import { type PolicyReach, policyReach } from '../../protocol/policy-reach.ts'
import type { PolicyStatus } from '../../protocol/policy-status.ts'
import { memberOf } from '../firewall/wanted.ts'
import type { Plan } from '../plan.ts'
import type { EnforcementStatus } from '../policy-enforcement.ts'

export interface PolicyFacts {
  readonly ours: EnforcementStatus
  /** As its endpoint update says; undefined: it says nothing. */
  readonly theirs: PolicyStatus | undefined
  /** What may pass from this device to the peer, and back. Undefined: it cannot be told, for the policy is not understood
   *  or one of the two is no member. */
  readonly to: PolicyReach | undefined
  readonly from: PolicyReach | undefined
}

/** Total. */
export function policyFacts(plan: Plan, ours: EnforcementStatus, peer: DeviceId): PolicyFacts {
  const { policy, own } = plan
  const member = plan.peers.get(peer)
  const theirs = member?.endpoints?.body.policy
  // Where nothing passes, WireGuard has no peers; their own addresses decide then.
  const other = member && memberOf(member, member.certificate.addresses)
  if (policy === undefined || own === undefined || other === undefined) {
    return { ours, theirs, to: undefined, from: undefined }
  }
  const self = memberOf(own, own.certificate.addresses)
  return {
    ours,
    theirs,
    to: policyReach(policy, self, other),
    from: policyReach(policy, other, self),
  }
}
