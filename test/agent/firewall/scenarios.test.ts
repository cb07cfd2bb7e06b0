// time limit: 600 s
/** Upstream's scenarios 26 to 28 of security groups, and the defects of its rules that must not be ours, in the kernel. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parsePolicyDocument } from '../../../protocol/policy-document.ts'
import { RULE_PROTOCOLS } from '../../../protocol/policy-rules.ts'
import { needs } from '../../support/needs.ts'
import { type Packet, verdictOf, type Way } from '../../support/policies.ts'
import { type Scene, startScene } from './scene.ts'

needs('netns', 'nft', 'python3')

const rule = suite('security groups, scenario by scenario')
let scene: Scene

rule.before(async () => {
  scene = await startScene()
})
rule.after(async () => {
  await scene[Symbol.asyncDispose]()
})

type Probe = { readonly way: Way; readonly packet: Packet }
const NUMBERS = { tcp: 6, udp: 17, icmp4: 1, icmp6: 58 } as const

/** From the laptop to the host, `tcp4 22`, `udp6 53`, `icmp4`; or the way that is said first, `out tcp4 22`. */
function probe(text: string): Probe {
  const words = text.split(' ')
  const ways: Record<string, Way> = {
    out: 'out',
    lan: 'to-lan',
    beside: 'to-lan',
    through: 'through',
  }
  const first = words[0] ?? ''
  const way = ways[first]
  const [name = '', port = '0'] = way === undefined ? words : words.slice(1)
  const isIpv6 = name.endsWith('6')
  const [laptop, host] = isIpv6 ? ['fd00::1', 'fd00::9'] : ['100.64.0.1', '100.64.0.9']
  const phone = isIpv6 ? 'fd00::2' : '100.64.0.2'
  const beyond =
    first === 'beside' ? (isIpv6 ? 'fd60::1' : '10.60.0.1') : isIpv6 ? 'fd50::7' : '10.50.0.7'
  const ends: Record<string, readonly [string, string]> = {
    out: [host, laptop],
    'to-lan': [laptop, beyond],
    through: [laptop, phone],
  }
  const [source = laptop, destination = host] = ends[way ?? ''] ?? []
  const protocol = name.startsWith('icmp')
    ? isIpv6
      ? 58
      : 1
    : name.startsWith('tcp')
      ? NUMBERS.tcp
      : NUMBERS.udp
  return { way: way ?? 'in', packet: { source, destination, protocol, port: Number(port) } }
}

async function apply(group: string, fallback = 'accept') {
  const text = `{version: 1, default: ${fallback}, security_groups: {web: ${group}}}`
  const policy = { revision: 1, ...parsePolicyDocument(text).rules }
  await scene.enforce(policy)
  return policy
}

/** Those of the probes that pass. */
async function passing(...texts: readonly string[]): Promise<readonly string[]> {
  const found = await scene.passing(texts.map(probe))
  return texts.filter((_, index) => found.has(index))
}

const ALL = ['tcp4 22', 'tcp6 22', 'udp4 22', 'udp6 22', 'icmp4', 'icmp6', 'tcp4 80', 'tcp6 80']

rule('26: an empty security group lets everything pass', async () => {
  await apply('{}')
  assert.equal(await passing(...ALL), ALL)
})

rule('26: tcp 18 to 25 from IPv4 and IPv6 ranges, and no udp', async () => {
  await apply(
    '{inbound_rules: [{ip_protocol: tcp, from_port: 18, to_port: 25, ip_ranges: ["100.64.0.0/10", "fd00::/16"]}]}',
  )
  assert.equal(await passing(...ALL, 'tcp4 17', 'tcp4 18', 'tcp6 25', 'tcp6 26'), [
    ...['tcp4 22', 'tcp6 22', 'tcp4 18', 'tcp6 25'],
  ])
})

rule('26: a rule of IPv6 alone blocks IPv4 and its ICMP', async () => {
  await apply('{inbound_rules: [{ip_protocol: ipv6}]}')
  assert.equal(await passing(...ALL), ['tcp6 22', 'udp6 22', 'icmp6', 'tcp6 80'])
})

rule('26: icmp rules with ranges', async () => {
  await apply('{inbound_rules: [{ip_protocol: icmp, ip_ranges: ["100.64.0.1"]}]}')
  assert.equal(await passing(...ALL), ['icmp4'])
  await apply(
    '{inbound_rules: [{ip_protocol: icmpv6}, {ip_protocol: icmpv4, ip_ranges: ["100.64.0.2"]}]}',
  )
  assert.equal(await passing(...ALL), ['icmp6'])
})

rule('26: port ranges of ipv4 and ipv6 are those of tcp and udp', async () => {
  await apply(
    '{inbound_rules: [{ip_protocol: ipv4, from_port: 20, to_port: 30}, {ip_protocol: ipv6, from_port: 80, to_port: 80}]}',
  )
  assert.equal(await passing(...ALL), ['tcp4 22', 'udp4 22', 'tcp6 80'])
})

rule('27: dash ranges, and a change of a single octet is applied', async () => {
  const dash = (from: string) =>
    `{inbound_rules: [{ip_ranges: ["100.64.0.${from}-100.64.0.9", "fd00::${from}-fd00::9"]}]}`
  await apply(dash('1'))
  assert.equal(await passing('tcp4 22', 'icmp6'), ['tcp4 22', 'icmp6'])
  await apply(dash('2'))
  assert.equal(await passing('tcp4 22', 'icmp6'), [])
})

rule('27: empty ranges are any', async () => {
  await apply(
    '{inbound_rules: [{ip_protocol: udp, ip_ranges: []}, {ip_protocol: tcp, from_port: 80, to_port: 80, ip_ranges: [""]}]}',
  )
  assert.equal(await passing(...ALL), ['udp4 22', 'udp6 22', 'tcp4 80', 'tcp6 80'])
})

rule(
  '28: every combination of protocol, ports and ranges is applied, both directions',
  async () => {
    const probes = [
      ...ALL,
      'out tcp4 22',
      'out tcp6 22',
      'out udp4 80',
      'out icmp4',
      'out icmp6',
    ].map(probe)
    for (const protocol of RULE_PROTOCOLS) {
      for (const ports of ['', ', from_port: 20, to_port: 30']) {
        if (ports !== '' && protocol.startsWith('icmp')) continue
        for (const ranges of [
          '',
          ', ip_ranges: ["100.64.0.0/24"]',
          ', ip_ranges: ["fd00::/64", "100.64.0.1-100.64.0.2"]',
        ]) {
          const one = `[{ip_protocol: "${protocol}"${ports}${ranges}}]`
          const policy = await apply(`{inbound_rules: ${one}, outbound_rules: ${one}}`)
          const found = await scene.passing(probes)
          probes.forEach(({ way, packet }, index) => {
            const wanted = verdictOf(policy, way, packet) === 'accept'
            assert.is(found.has(index), wanted, `${one}: ${way} ${JSON.stringify(packet)}`)
          })
        }
      }
    }
  },
)

rule(
  'outbound rules judge what leaves, by its destination, and nothing that comes (defect 3)',
  async () => {
    await apply('{outbound_rules: [{ip_protocol: tcp, from_port: 22, to_port: 22}]}')
    const out = ['out tcp4 22', 'out tcp6 22', 'out tcp4 80', 'out udp4 22', 'out icmp4']
    assert.equal(await passing(...out, ...ALL), ['out tcp4 22', 'out tcp6 22', ...ALL])
  },
)

rule(
  'ranges of both families in one rule are one rule, not an error that opens everything (defect 4)',
  async () => {
    await apply('{inbound_rules: [{ip_protocol: udp, ip_ranges: ["fd00::1", "100.64.0.1"]}]}')
    assert.equal(await passing(...ALL), ['udp4 22', 'udp6 22'])
  },
)

rule(
  'what a router forwards is judged, and goes to what it advertises only (defect 5)',
  async () => {
    await apply('{}')
    const ways = [
      'lan tcp4 22',
      'lan tcp6 80',
      'beside tcp4 22',
      'beside tcp6 22',
      'through tcp4 22',
    ]
    assert.equal(await passing(...ways), ['lan tcp4 22', 'lan tcp6 80', 'through tcp4 22'])
    await apply('{inbound_rules: [{ip_protocol: tcp, from_port: 22, to_port: 22}]}')
    assert.equal(await passing(...ways), ['lan tcp4 22', 'through tcp4 22'])
    await apply('{inbound_rules: [], outbound_rules: [{ip_protocol: udp}]}')
    assert.equal(await passing(...ways), ['lan tcp4 22', 'lan tcp6 80'])
  },
)

rule(
  'without any policy, too, nothing is forwarded beside what the host advertises (defect 5)',
  async () => {
    await scene.enforce({
      revision: 0,
      defaults: { inbound: 'accept', outbound: 'accept' },
      rules: [],
    })
    assert.equal(await passing('beside tcp4 22', 'beside tcp6 22', 'lan tcp4 22', 'tcp4 1'), [
      ...['lan tcp4 22', 'tcp4 1'],
    ])
  },
)

rule('default deny without rules lets nothing pass', async () => {
  await apply('{}', 'deny')
  assert.equal(await passing(...ALL, 'out tcp4 22', 'lan tcp4 22', 'through icmp6'), [])
})

rule.run()
