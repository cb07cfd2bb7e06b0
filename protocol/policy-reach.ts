/** Policy reach: what may pass at all from one device to another, for people who ask why nothing does. */
import { type AddressFamily, addressFamily, type IpAddress, prefixAddress } from './address.ts'
import { decide, type PolicyTraffic, PROTOCOL_NUMBERS } from './policy-decision.ts'
import type { PolicyMember } from './policy-holders.ts'
import type { Direction, PolicyRules } from './policy-rules.ts'

export interface PolicyReach {
  /** Echo requests, in some address family that both have. */
  readonly ping: boolean
  /** Something; else nothing at all. */
  readonly anything: boolean
  /** Something may leave the sender, and something may enter the receiver; perhaps not the same. */
  readonly leaves: boolean
  readonly enters: boolean
}

/** Between addresses of the devices themselves, of what they hold the first of each family. Exact: what rules accept are
 *  ranges of ports, so that where two meet at all, they meet where one of them begins. */
export function policyReach(
  policy: PolicyRules,
  from: PolicyMember,
  to: PolicyMember,
): PolicyReach {
  const samples = ([4, 6] as const).flatMap((family) => samplesOf(policy, from, to, family))
  const passing = samples.filter(({ leaves, enters }) => leaves && enters)
  return {
    ping: passing.some(({ isPing }) => isPing),
    anything: passing.length > 0,
    leaves: samples.some(({ leaves }) => leaves),
    enters: samples.some(({ enters }) => enters),
  }
}

interface Sample {
  readonly isPing: boolean
  readonly leaves: boolean
  readonly enters: boolean
}

function samplesOf(
  policy: PolicyRules,
  from: PolicyMember,
  to: PolicyMember,
  family: AddressFamily,
): readonly Sample[] {
  const [source, destination] = [addressOf(from, family), addressOf(to, family)]
  if (source === undefined || destination === undefined) return []
  const accepts = (direction: Direction, traffic: PolicyTraffic): boolean => {
    const [device, peer] =
      direction === 'outbound'
        ? [from, { device: to, address: destination }]
        : [to, { device: from, address: source }]
    return decide(policy, direction, device, peer, traffic).verdict === 'accept'
  }
  return trafficsOf(policy, family).map(({ isPing, traffic }) => ({
    isPing,
    leaves: accepts('outbound', traffic),
    enters: accepts('inbound', traffic),
  }))
}

/** A packet for each set of packets that rules could tell from the others. */
function trafficsOf(
  { rules }: PolicyRules,
  family: AddressFamily,
): readonly { readonly isPing: boolean; readonly traffic: PolicyTraffic }[] {
  const { icmp, icmpv6, tcp, udp } = PROTOCOL_NUMBERS
  const ports = new Set([1, ...rules.flatMap((rule) => rule.ports?.from ?? [])])
  const ping = { family, protocol: family === 4 ? icmp : icmpv6 }
  return [
    { isPing: true, traffic: ping },
    ...[tcp, udp].flatMap((protocol) =>
      [...ports].map((port) => ({ isPing: false, traffic: { family, protocol, port } })),
    ),
  ]
}

function addressOf({ prefixes }: PolicyMember, family: AddressFamily): IpAddress | undefined {
  return prefixes.map(prefixAddress).find((address) => addressFamily(address) === family)
}
