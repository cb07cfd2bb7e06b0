/** Policies, members and packets at random, of a small world in which they often meet. */
import fc from 'fast-check'
import { parseIpAddress, parsePrefix } from '../../protocol/address.ts'
import { parseAddressRange } from '../../protocol/address-range.ts'
import { decide, PROTOCOL_NUMBERS } from '../../protocol/policy-decision.ts'
import { holders, type PolicyMember } from '../../protocol/policy-holders.ts'
import {
  type PolicyRule,
  type PolicyRules,
  type PolicyVerdict,
  RULE_PROTOCOLS,
  VERDICTS,
} from '../../protocol/policy-rules.ts'

const GROUPS = ['web', 'storage', 'people', '*']
const OWNERS = ['ada', 'bob', 'eve']

function member(
  name: string,
  owner: string,
  groups: readonly string[],
  ...prefixes: readonly string[]
): PolicyMember {
  return { name, owner, groups, prefixes: prefixes.map(parsePrefix) }
}

/** The device whose packets are judged. */
export const OWN = member(
  'own',
  'ada',
  ['web', 'storage'],
  ...['100.64.0.9', 'fd00::9', '10.50.0.0/16', 'fd50::/32'],
)

/** Two of them hold prefixes, one inside the other. */
export const PEERS: readonly PolicyMember[] = [
  member('laptop', 'ada', ['people', 'web'], '100.64.0.1', 'fd00::1'),
  member('phone', 'bob', ['people'], '100.64.0.2', 'fd00::2'),
  member('router', 'bob', ['storage'], '100.64.0.3', 'fd00::3', '10.1.0.0/16', 'fd10::/32'),
  member('inner', 'eve', ['web'], '100.64.0.4', 'fd00::4', '10.1.2.0/24', 'fd10:0:2::/48'),
  member('plain', 'eve', [], '100.64.0.5', 'fd00::5', '10.1.2.3'),
]

const RANGES = [
  ...['100.64.0.0/30', '100.64.0.2-100.64.0.4', '100.64.0.5', '10.1.0.0/16', '10.1.2.0-10.1.2.3'],
  ...[
    '10.1.2.3',
    '0.0.0.0/0',
    '::/0',
    'fd00::/16',
    'fd00::2-fd00::4',
    'fd10:0:2::/48',
    '10.50.0.7',
  ],
]

/** Destination ports at and beside the edges of rules. */
const PORTS = [1, 21, 22, 23, 53, 80, 442, 443, 444, 8080, 65_535]

const EDGES = [1, 22, 53, 80, 443, 8080, 65_535]
const few = <T>(values: readonly T[]): fc.Arbitrary<readonly T[]> =>
  fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, fc.subarray([...values], { maxLength: 2 }))

const RULE: fc.Arbitrary<PolicyRule> = fc
  .record({
    securityGroup: fc.constantFrom('web', 'storage', '*', 'people'),
    direction: fc.constantFrom('inbound', 'outbound'),
    protocol: fc.constantFrom(...RULE_PROTOCOLS),
    ports: fc.option(fc.tuple(fc.constantFrom(...EDGES), fc.constantFrom(...EDGES))),
    ranges: few(RANGES).map((texts) => texts.map(parseAddressRange)),
    groups: few(GROUPS),
    users: few(OWNERS),
    devices: few(PEERS.map(({ name }) => name)),
  })
  .map(({ ports, ...rule }) => {
    if (ports === null || rule.protocol.startsWith('icmp')) return rule
    const [from, to] = ports
    return { ...rule, ports: { from: Math.min(from, to), to: Math.max(from, to) } }
  })

export const POLICY: fc.Arbitrary<PolicyRules> = fc.record({
  revision: fc.constant(1),
  defaults: fc.record({
    inbound: fc.constantFrom(...VERDICTS),
    outbound: fc.constantFrom(...VERDICTS),
  }),
  rules: fc.array(RULE, { maxLength: 12 }),
})

export interface Packet {
  readonly source: string
  readonly destination: string
  readonly protocol: number
  readonly port: number | undefined
}

/** Addresses of members, behind members, of nobody, of this device, behind it, and beside what it holds. */
const OTHERS = {
  4: ['100.64.0.1', '100.64.0.2', '100.64.0.3', '100.64.0.4', '100.64.0.5', '100.64.0.6'],
  6: ['fd00::1', 'fd00::2', 'fd00::3', 'fd00::4', 'fd00::5', 'fd00::6'],
}
const BEHIND = {
  4: ['10.1.0.1', '10.1.2.1', '10.1.2.3', '10.1.2.4', '10.1.3.1'],
  6: ['fd10::1', 'fd10:0:2::1', 'fd10:0:3::1'],
}
const BEHIND_OWN = { 4: ['10.50.0.7', '10.50.9.9'], 6: ['fd50::7'] }
const BESIDE_OWN = { 4: ['10.60.0.1'], 6: ['fd60::1'] }
const SELF = { 4: ['100.64.0.9'], 6: ['fd00::9'] }

/** `in`: to this device · `out`: from it · `to-lan`, `from-lan`: forwarded · `through`: from a member to another. */
export const WAYS = ['in', 'out', 'to-lan', 'from-lan', 'through'] as const
export type Way = (typeof WAYS)[number]

export function packet(way: Way): fc.Arbitrary<Packet> {
  return fc.constantFrom(4 as const, 6 as const).chain((family) => {
    const far = [...OTHERS[family], ...BEHIND[family]]
    const lan = BEHIND_OWN[family]
    const ends: Record<Way, readonly [readonly string[], readonly string[]]> = {
      in: [far, SELF[family]],
      out: [SELF[family], far],
      'to-lan': [far, [...lan, ...BESIDE_OWN[family]]],
      'from-lan': [lan, far],
      through: [far, far],
    }
    const { tcp, udp } = PROTOCOL_NUMBERS
    const [sources, destinations] = ends[way]
    return fc.record({
      source: fc.constantFrom(...sources),
      destination: fc.constantFrom(...destinations),
      ...{ protocol: fc.constantFrom(tcp, tcp, udp, udp, family === 4 ? 1 : 58) },
      port: fc.constantFrom(...PORTS),
    })
  })
}

/** What the reference says of a flow's first packet at this device. */
export function verdictOf(policy: PolicyRules, way: Way, each: Packet): PolicyVerdict {
  const table = holders(PEERS)
  const [source, destination] = [parseIpAddress(each.source), parseIpAddress(each.destination)]
  const { tcp, udp } = PROTOCOL_NUMBERS
  const hasPorts = each.protocol === tcp || each.protocol === udp
  const traffic = {
    family: each.source.includes(':') ? (6 as const) : (4 as const),
    protocol: each.protocol,
    port: hasPorts ? each.port : undefined,
  }
  const peer = (address: typeof source) => ({ address, device: table.find(address) })
  const inbound = () => decide(policy, 'inbound', OWN, peer(source), traffic).verdict
  const outbound = () => decide(policy, 'outbound', OWN, peer(destination), traffic).verdict
  const isHeld = ![...BESIDE_OWN[4], ...BESIDE_OWN[6]].includes(each.destination)
  switch (way) {
    case 'in':
      return inbound()
    case 'to-lan':
      return isHeld ? inbound() : 'deny'
    case 'out':
    case 'from-lan':
      return outbound()
    case 'through':
      return inbound() === 'accept' ? outbound() : 'deny'
  }
}
