/** Own exit answer: this device as an exit: whom it tells the world's names. */
import { addressFamily, isDefaultPrefix, prefixAddress } from '../protocol/address.ts'
import type { DeviceId } from '../protocol/keys.ts'
import { decide, PROTOCOL_NUMBERS } from '../protocol/policy-decision.ts'
import type { Daemon } from './daemon.ts'
import { memberOf } from './firewall/wanted.ts'
import { type ExitAnswer, exitResolver, hostServers } from './names/exit-resolver.ts'
import type { Plan } from './plan.ts'

const NAME_PORT = 53

export function ownExitAnswer(daemon: Daemon): ExitAnswer {
  const { clock, random } = daemon.options
  const mayAsk = (from: DeviceId): boolean => mayAskBy(daemon.plan, from)
  return exitResolver({ mayAsk, servers: hostServers, clock, random })
}

/** Is this device an exit now, and would its policy let a question in that came as a packet? */
export function mayAskBy(
  { own, policy, routed, peers }: Pick<Plan, 'own' | 'policy' | 'routed' | 'peers'>,
  from: DeviceId,
): boolean {
  const member = peers.get(from)
  if (own === undefined || policy === undefined || member === undefined) return false
  if (!routed.some(isDefaultPrefix)) return false
  const [self, device] = [memberOf(own, []), memberOf(member, [])]
  return member.certificate.addresses.map(prefixAddress).some((address) => {
    const traffic = {
      family: addressFamily(address),
      protocol: PROTOCOL_NUMBERS.udp,
      port: NAME_PORT,
    }
    return decide(policy, 'inbound', self, { device, address }, traffic).verdict === 'accept'
  })
}
