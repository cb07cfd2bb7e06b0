/** An organization of any size under a policy of any length, the same for the same numbers. */
import type { FirewallConfig } from '../../agent/firewall/firewall.ts'
import { type Prefix, parsePrefix } from '../../protocol/address.ts'
import { parseAddressRange } from '../../protocol/address-range.ts'
import type { PolicyMember } from '../../protocol/policy-holders.ts'
import type { PolicyRule } from '../../protocol/policy-rules.ts'

export interface Size {
  readonly devices: number
  /** That devices hold beside their addresses. */
  readonly prefixes: number
  readonly rules: number
}

/** Each device is in two of these. */
const GROUPS = 40
const USERS = 100

/** What one of the devices, which has every rule, is to enforce; `changed`: after another got another group. */
export function policyWorld({ devices, prefixes, rules }: Size, changed = false): FirewallConfig {
  const peers = Array.from({ length: devices - 1 }, (_, index) =>
    member(index + 2, heldBy(index, devices - 1, prefixes), changed && index === 7),
  )
  return {
    policy: {
      revision: 1,
      defaults: { inbound: 'deny', outbound: 'deny' },
      rules: Array.from({ length: rules }, (_, index) => ruleOf(index)),
    },
    own: { ...member(1, [], false), groups: ['servers'] },
    peers,
    meshPorts: { own: [4001], others: [4001] },
  }
}

function member(number: number, held: readonly Prefix[], changed: boolean): PolicyMember {
  const [high, low] = [number >> 8, number & 255]
  const groups = [`group-${number % GROUPS}`, `group-${(number * 7 + 3) % GROUPS}`]
  return {
    name: `device-${number}`,
    owner: `user-${number % USERS}`,
    groups: changed ? [...groups, 'group-1'] : groups,
    prefixes: [
      parsePrefix(`100.64.${high}.${low}`),
      parsePrefix(`fd00::${number.toString(16)}`),
      ...held,
    ],
  }
}

/** Of prefixes in turn; every fourth is of IPv6. */
function heldBy(index: number, peers: number, prefixes: number): readonly Prefix[] {
  const numbers = Array.from({ length: prefixes }, (_, each) => each).filter(
    (each) => Math.floor((each * peers) / prefixes) === index,
  )
  return numbers.map((each) =>
    parsePrefix(each % 4 === 3 ? `fd10:${each.toString(16)}::/32` : `10.${each & 255}.0.0/16`),
  )
}

/** Two thirds inbound; groups, users and ranges; ports, ICMP, and every protocol. */
function ruleOf(index: number): PolicyRule {
  const port = 1000 + index * 10
  const kind = index % 5
  return {
    securityGroup: 'servers',
    direction: index % 3 === 2 ? 'outbound' : 'inbound',
    protocol: kind === 4 ? 'icmp' : kind === 3 ? 'udp' : 'tcp',
    ...(kind === 4 ? {} : { ports: { from: port, to: port + 4 } }),
    ranges: kind === 1 ? [parseAddressRange(`100.64.${index % 4}.0-100.64.${index % 4}.99`)] : [],
    groups: kind === 1 ? [] : [`group-${index % GROUPS}`],
    users: kind === 2 ? [`user-${index % USERS}`] : [],
    devices: [],
  }
}
