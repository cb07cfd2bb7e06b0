/** The reference: what each word of the grammar lets pass (SPEC §14). */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parseIpAddress } from '../../../protocol/address.ts'
import { parseAddressRange } from '../../../protocol/address-range.ts'
import {
  decide,
  type PolicyDecision,
  type PolicyDevice,
  type PolicyPeer,
  type PolicyTraffic,
  tellsApart,
} from '../../../protocol/policy-decision.ts'
import type { PolicyRule, PolicyRules } from '../../../protocol/policy-rules.ts'

const db: PolicyDevice = { name: 'db', owner: 'ada', groups: ['storage'] }
const laptop: PolicyDevice = { name: 'laptop', owner: 'ada', groups: ['people', 'admins'] }
const phone: PolicyDevice = { name: 'phone', owner: 'bob', groups: ['people'] }

const from = (device: PolicyDevice | undefined, address: string): PolicyPeer => ({
  device,
  address: parseIpAddress(address),
})
const LAPTOP = from(laptop, '100.64.0.1')
const PHONE = from(phone, '100.64.0.2')
const BEHIND = from(phone, '10.1.2.3')
const LAPTOP6 = from(laptop, 'fd00::1')

const tcp = (port: number, family: 4 | 6 = 4): PolicyTraffic => ({ family, protocol: 6, port })
const udp = (port: number, family: 4 | 6 = 4): PolicyTraffic => ({ family, protocol: 17, port })
const ping = (family: 4 | 6 = 4): PolicyTraffic => ({ family, protocol: family === 4 ? 1 : 58 })
const GRE: PolicyTraffic = { family: 4, protocol: 47 }

const ANY: PolicyRule = {
  securityGroup: 'storage',
  direction: 'inbound',
  protocol: '',
  ranges: [],
  groups: [],
  users: [],
  devices: [],
}
const ranges = (...texts: readonly string[]) => texts.map(parseAddressRange)

function policy(...rules: readonly Partial<PolicyRule>[]): PolicyRules {
  return {
    revision: 1,
    defaults: { inbound: 'accept', outbound: 'accept' },
    rules: rules.map((each) => ({ ...ANY, ...each })),
  }
}
const SSH = { from: 18, to: 25 }

/** A rule of db, who sends what, and whether it passes. */
const TABLE: readonly (readonly [
  string,
  Partial<PolicyRule>,
  PolicyPeer,
  PolicyTraffic,
  boolean,
])[] = [
  ['an empty rule: anything', {}, PHONE, GRE, true],
  ['an empty rule: IPv6', {}, LAPTOP6, tcp(1, 6), true],
  ['tcp without ports: every port', { protocol: 'tcp' }, PHONE, tcp(65_535), true],
  ['tcp: not udp', { protocol: 'tcp' }, PHONE, udp(53), false],
  ['tcp: not ICMP', { protocol: 'tcp' }, PHONE, ping(), false],
  ['tcp: not GRE', { protocol: 'tcp' }, PHONE, GRE, false],
  ['tcp: of IPv6, too', { protocol: 'tcp' }, LAPTOP6, tcp(80, 6), true],
  ['a port range: its first', { protocol: 'tcp', ports: SSH }, PHONE, tcp(18), true],
  ['a port range: its last', { protocol: 'tcp', ports: SSH }, PHONE, tcp(25), true],
  ['a port range: not below', { protocol: 'tcp', ports: SSH }, PHONE, tcp(17), false],
  ['a port range: not above', { protocol: 'tcp', ports: SSH }, PHONE, tcp(26), false],
  ['ports without a protocol: of tcp', { ports: SSH }, PHONE, tcp(22), true],
  ['ports without a protocol: of udp', { ports: SSH }, LAPTOP6, udp(22, 6), true],
  ['ports without a protocol: not ICMP', { ports: SSH }, PHONE, ping(), false],
  ['ports without a protocol: not GRE', { ports: SSH }, PHONE, GRE, false],
  ['udp: not tcp', { protocol: 'udp', ports: SSH }, PHONE, tcp(22), false],
  ['icmp: of IPv4', { protocol: 'icmp' }, PHONE, ping(), true],
  ['icmp: of IPv6', { protocol: 'icmp' }, LAPTOP6, ping(6), true],
  ['icmp: not tcp', { protocol: 'icmp' }, PHONE, tcp(22), false],
  ['icmpv4: not of IPv6', { protocol: 'icmpv4' }, LAPTOP6, ping(6), false],
  ['icmpv6: of IPv6', { protocol: 'icmpv6' }, LAPTOP6, ping(6), true],
  ['icmpv6: not of IPv4', { protocol: 'icmpv6' }, PHONE, ping(), false],
  ['ipv4: any protocol of it', { protocol: 'ipv4' }, PHONE, GRE, true],
  ['ipv4: not IPv6', { protocol: 'ipv4' }, LAPTOP6, tcp(22, 6), false],
  ['ipv4 with ports: tcp', { protocol: 'ipv4', ports: SSH }, PHONE, tcp(22), true],
  ['ipv4 with ports: udp', { protocol: 'ipv4', ports: SSH }, PHONE, udp(22), true],
  ['ipv4 with ports: not ICMP', { protocol: 'ipv4', ports: SSH }, PHONE, ping(), false],
  ['ipv6 with ports: not IPv4', { protocol: 'ipv6', ports: SSH }, PHONE, tcp(22), false],
  ['a range: inside', { ranges: ranges('100.64.0.0/30') }, PHONE, tcp(1), true],
  ['a range: outside', { ranges: ranges('100.64.0.4/30') }, PHONE, tcp(1), false],
  ['a dash range: its first', { ranges: ranges('100.64.0.2-100.64.0.3') }, PHONE, tcp(1), true],
  ['a dash range: its last', { ranges: ranges('100.64.0.0-100.64.0.2') }, PHONE, tcp(1), true],
  ['a dash range: outside', { ranges: ranges('100.64.0.3-100.64.0.9') }, PHONE, tcp(1), false],
  ['one address', { ranges: ranges('100.64.0.2') }, PHONE, tcp(1), true],
  ['a range of the other family', { ranges: ranges('fd00::/16') }, PHONE, tcp(1), false],
  [
    'both families in one rule: IPv4',
    { ranges: ranges('fd00::/16', '100.64.0.0/10') },
    PHONE,
    tcp(1),
    true,
  ],
  [
    'both families in one rule: IPv6',
    { ranges: ranges('fd00::/16', '100.64.0.0/10') },
    LAPTOP6,
    tcp(1, 6),
    true,
  ],
  ['a group that the peer is in', { groups: ['admins'] }, LAPTOP, tcp(1), true],
  ['a group that the peer is not in', { groups: ['admins'] }, PHONE, tcp(1), false],
  ['every device', { groups: ['*'] }, PHONE, tcp(1), true],
  [
    'every device: not an address of nobody',
    { groups: ['*'] },
    from(undefined, '100.64.9.9'),
    tcp(1),
    false,
  ],
  ['a user', { users: ['bob'] }, PHONE, tcp(1), true],
  ['another user', { users: ['bob'] }, LAPTOP, tcp(1), false],
  ['a device', { devices: ['phone'] }, PHONE, tcp(1), true],
  ['what lies behind a device is the device’s', { devices: ['phone'] }, BEHIND, tcp(1), true],
  ['another device', { devices: ['phone'] }, LAPTOP, tcp(1), false],
  [
    'range or group: by group',
    { groups: ['admins'], ranges: ranges('10.0.0.0/8') },
    LAPTOP,
    tcp(1),
    true,
  ],
  [
    'range or group: by range',
    { groups: ['admins'], ranges: ranges('10.0.0.0/8') },
    BEHIND,
    tcp(1),
    true,
  ],
  [
    'range or group: neither',
    { groups: ['admins'], ranges: ranges('10.0.0.0/8') },
    PHONE,
    tcp(1),
    false,
  ],
  [
    'all words must agree',
    { groups: ['people'], protocol: 'tcp', ports: SSH },
    PHONE,
    udp(22),
    false,
  ],
]

const rule = suite('policy decision (SPEC §14)')

for (const [what, each, peer, traffic, passes] of TABLE) {
  rule(what, () => {
    const wanted: PolicyDecision = passes
      ? { verdict: 'accept', rule: 1, by: 'rule' }
      : { verdict: 'deny', by: 'no-rule' }
    assert.equal(decide(policy(each), 'inbound', db, peer, traffic), wanted)
    const outbound = policy({ ...each, direction: 'outbound' })
    assert.equal(decide(outbound, 'outbound', db, peer, traffic), wanted)
  })
}

rule('tells the first rule that accepts, by its number in the policy', () => {
  const three = policy(
    { securityGroup: 'people' },
    { protocol: 'tcp', ports: SSH },
    { groups: ['admins'] },
  )
  const by = (peer: PolicyPeer, traffic: PolicyTraffic) =>
    decide(three, 'inbound', db, peer, traffic).rule
  assert.equal([by(PHONE, tcp(22)), by(LAPTOP, tcp(80)), by(PHONE, tcp(80))], [2, 3, undefined])
})

rule('goes by the default only where no rule of the direction is the device’s', () => {
  const denying = { ...policy({}), defaults: { inbound: 'deny', outbound: 'deny' } } as const
  const inbound = (device: PolicyDevice) => decide(denying, 'inbound', device, LAPTOP, GRE)
  assert.equal(inbound(db), { verdict: 'accept', rule: 1, by: 'rule' })
  assert.equal(inbound(phone), { verdict: 'deny', by: 'default' })
  const accepting = policy({ protocol: 'udp' })
  const outbound = decide(accepting, 'outbound', db, LAPTOP, tcp(1))
  assert.equal(outbound, { verdict: 'accept', by: 'default' })
  assert.is(decide(accepting, 'inbound', db, LAPTOP, tcp(1)).verdict, 'deny')
})

rule(
  'adds up the rules of all security groups that a device is in, and those of every device',
  () => {
    const several = policy(
      { securityGroup: '*', protocol: 'icmp' },
      { securityGroup: 'people', protocol: 'tcp' },
      { securityGroup: 'admins', protocol: 'udp' },
    )
    const verdicts = (device: PolicyDevice) =>
      [ping(), tcp(1), udp(1)].map(
        (traffic) => decide(several, 'inbound', device, LAPTOP, traffic).verdict,
      )
    assert.equal(verdicts(laptop), ['accept', 'accept', 'accept'])
    assert.equal(verdicts(phone), ['accept', 'accept', 'deny'])
    assert.equal(verdicts(db), ['accept', 'deny', 'deny'])
  },
)

rule('tells two apart where a rule of the device names one and not the other (SPEC §8.8)', () => {
  const apart = (...rules: readonly Partial<PolicyRule>[]): boolean =>
    tellsApart(policy(...rules), db, laptop, phone)
  assert.is(apart(), false)
  assert.is(apart({}), false)
  assert.is(apart({ groups: ['people'] }), false)
  assert.is(apart({ groups: ['*'] }), false)
  // By its address a packet is judged alike, whoever sends it.
  assert.is(apart({ ranges: ranges('100.64.0.1') }), false)
  assert.is(apart({ securityGroup: 'web', devices: ['phone'] }), false)
  for (const named of [
    { groups: ['admins'] },
    { users: ['bob'] },
    { devices: ['laptop'] },
    { securityGroup: '*', devices: ['phone'] },
    { direction: 'outbound', devices: ['phone'] },
  ] as const) {
    assert.is(apart({ groups: ['people'] }, named), true, JSON.stringify(named))
    assert.is(tellsApart(policy(named), db, phone, phone), false)
  }
})

rule.run()
