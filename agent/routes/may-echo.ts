/** May echo: does the policy let an echo to another device pass, by the rules of both ends? Pure. */
import {
  addressFamily,
  type IpAddress,
  type Prefix,
  prefixAddress,
} from '../../protocol/address.ts'
import { decide, type PolicyDevice, PROTOCOL_NUMBERS } from '../../protocol/policy-decision.ts'
import type { PolicyRules } from '../../protocol/policy-rules.ts'

export interface EchoEnd extends PolicyDevice {
  readonly addresses: readonly Prefix[]
}

/** @param address that of the other device which is asked */
export function mayEcho(
  policy: PolicyRules,
  from: EchoEnd,
  to: EchoEnd,
  address: IpAddress,
): boolean {
  const family = addressFamily(address)
  const protocol = family === 4 ? PROTOCOL_NUMBERS.icmp : PROTOCOL_NUMBERS.icmpv6
  const source = from.addresses.map(prefixAddress).find((each) => addressFamily(each) === family)
  const traffic = { family, protocol }
  const leaves = decide(policy, 'outbound', from, { device: to, address }, traffic)
  const enters = decide(policy, 'inbound', to, { device: from, address: source }, traffic)
  return leaves.verdict === 'accept' && enters.verdict === 'accept'
}
