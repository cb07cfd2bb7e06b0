// time limit: 1200 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { NetcheckReport, NetworkFamilyReport } from '../../agent/control/netcheck-report.ts'
import type { LabAgent } from '../../simulations/lab/agent.ts'
import { featuresOf, natRules, type SiteKind } from '../../simulations/lab/nat.ts'
import { startScene, until } from '../../simulations/lab/scene.ts'
import { needs } from '../support/needs.ts'

needs('root', 'netns', 'nft', 'wireguard-go', 'conntrack', 'iptables')

const NATS = ['port', 'port-np', 'symm', 'v6dual', 'fw', 'udpblock'] as const
/** Kinds that the device can tell apart; all are in test/agent/path/nat. Sites: one for each kind, an observer, and the registry with another observer at its address. */
const SITES: readonly SiteKind[] = [...NATS, 'public', 'public']
const PATIENCE_MS = 180_000

const rule = suite('nexctl netcheck behind each kind of NAT')
const scene = await startScene({
  sites: SITES.map((kind) => ({ kind })),
  registrySite: SITES.length,
  agents: {},
  enrol: 'later',
})
// At this site UDP alone is blocked, so that the registry can be reached.
const blocked = scene.lab.router(NATS.indexOf('udpblock') + 1)
await blocked.exec('nft', 'flush', 'chain', 'ip', 'nat', 'block')
await blocked.exec(
  'nft',
  'add',
  'rule',
  'ip',
  'nat',
  'block',
  'oifname',
  'wan',
  'meta',
  'l4proto',
  'udp',
  'drop',
)
const key = await scene.registrationKey()

async function enrolled(name: string, site: number): Promise<LabAgent> {
  const agent = scene.addAgent(name, site, 0, key)
  agent.start()
  await agent.started(PATIENCE_MS)
  return agent
}

const observers = [
  await enrolled('beside-registry', SITES.length),
  await enrolled('public', SITES.length - 1),
]
const agents = new Map<SiteKind, LabAgent>()
for (const [index, kind] of NATS.entries()) agents.set(kind, await enrolled(kind, index + 1))

function agent(kind: SiteKind): LabAgent {
  const found = agents.get(kind)
  assert.ok(found !== undefined, kind)
  return found
}

const familyOf = ({ families }: NetcheckReport, family: 4 | 6): NetworkFamilyReport => {
  const found = families.find((each) => each.family === family)
  assert.ok(found !== undefined)
  return found
}

/** Netcheck again and again until it is so; the last one. */
async function becomes(
  of: LabAgent,
  isSo: (found: NetworkFamilyReport) => boolean,
  family: 4 | 6 = 4,
): Promise<NetcheckReport> {
  let last: NetcheckReport | undefined
  try {
    await until(of.name, PATIENCE_MS, async () => {
      last = await of.netcheck()
      return isSo(familyOf(last, family))
    })
  } catch (error) {
    throw new Error(`${String(error)}: ${JSON.stringify(last)}`)
  }
  assert.ok(last !== undefined)
  return last
}

for (const [kind, mapping, portPreserved, verdict] of [
  ['port', 'endpoint-independent', 'yes', /keeps one mapping: direct with .*; by a relay with/],
  ['port-np', 'endpoint-independent', 'no', /keeps one mapping/],
  ['symm', 'address-and-port-dependent', 'no', /new mapping for each peer: .* by a relay with all/],
  ['v6dual', 'endpoint-independent', 'yes', /keeps one mapping/],
  ['fw', 'none', 'unknown', /^no NAT; unless a firewall/],
] as const) {
  rule(`${kind}: says what the laboratory built`, async () => {
    const report = await becomes(
      agent(kind),
      (found) => found.mapping === mapping && found.mappingProved,
    )
    const found = familyOf(report, 4)
    assert.equal([found.portPreserved, found.udp, found.gateway], [portPreserved, 'works', true])
    assert.match(found.verdict, verdict)
    assert.ok(found.observations.length >= 3)
  })
}

rule('v6dual: says that there is no NAT over IPv6, which members alone have seen', async () => {
  const report = await becomes(agent('v6dual'), ({ mapping }) => mapping === 'none', 6)
  const { addresses, observations, gateway } = familyOf(report, 6)
  assert.equal(addresses, ['2001:db8:4:1::10'])
  assert.ok(gateway && observations.every(({ by }) => by !== 'STUN server'))
  const port = familyOf(await agent('port').netcheck(), 6)
  assert.match(port.verdict, /no IPv6 address/)
})

rule(
  'names every server, by UDP and TCP, with its round-trip time, and compares the clock',
  async () => {
    const { servers, clock } = await agent('port').netcheck()
    assert.equal(
      servers.map(({ kind, protocol, reachable }) => `${kind} ${protocol} ${reachable}`),
      ['stun udp true', 'rendezvous tcp true', 'registry tcp true'],
    )
    assert.ok(servers.every(({ roundTripMs = -1 }) => roundTripMs > 0))
    assert.ok(Math.abs(clock.registryAhead ?? 99) <= 2)
  },
)

rule('udpblock: says that UDP is blocked and TCP is not', async () => {
  const report = await becomes(agent('udpblock'), ({ udp }) => udp === 'blocked')
  assert.match(familyOf(report, 4).verdict, /UDP is blocked: .* by a relay over TCP/)
  assert.equal(
    report.servers.map(({ protocol, reachable }) => `${protocol} ${reachable}`),
    ['udp false', 'tcp true', 'tcp true'],
  )
})

rule('is readable, and starts to measure a lifetime in the background', async () => {
  const port = agent('port')
  const { stdout, status } = await port.nexctl('netcheck')
  assert.is(status, 0)
  assert.match(stdout, /^IPv4: a NAT that keeps one mapping/m)
  assert.match(stdout, /^ {2}mapping +endpoint-independent$/m)
  assert.match(stdout, /^ {2}beside-registry \(198\.18\.8\.2:51820\) +198\.18\.1\.2:51820/m)
  const started = await port.nexctl('netcheck', '--lifetime', '10')
  assert.match(started.stdout, /in the background: IPv4 within 80 s/)
  assert.is(familyOf(await port.netcheck(), 4).lifetime?.state, 'running')
  const refused = await port.nexctl('netcheck', '--lifetime', '2')
  assert.match(refused.stderr, /the longest wait is 2 s, want 5 to 900/)
  const report = await becomes(port, ({ lifetime }) => lifetime?.state === 'measured')
  assert.is(familyOf(report, 4).lifetime?.atLeast, 10)
})

rule('heals while it runs, when the NAT becomes another and when it is itself again', async () => {
  const router = scene.lab.router(NATS.indexOf('port') + 1)
  for (const [rules, mapping] of [
    [natRules(featuresOf('symm')), /^address-/],
    [natRules(featuresOf('port')), /^endpoint-independent$/],
  ] as const) {
    await router.batch('nft', ['delete table ip nat', 'delete table ip6 fw', ...rules])
    await router.exec('conntrack', '-F')
    await becomes(agent('port'), (found) => found.mappingProved && mapping.test(found.mapping))
  }
})

rule(
  'with the registry dead and started anew a device knows its NAT from members alone',
  async () => {
    await scene.stopRegistry()
    const symm = agent('symm')
    await symm.stop()
    symm.start()
    await symm.started(PATIENCE_MS)
    const report = await becomes(
      symm,
      ({ mapping, observations }) => /^address/.test(mapping) && observations.length >= 2,
    )
    const { observations, udp } = familyOf(report, 4)
    assert.ok(observations.every(({ by }) => by !== 'STUN server'))
    assert.is(udp, 'works')
    assert.ok(report.servers.every(({ reachable }) => !reachable))
  },
)

rule.after(async () => {
  await Promise.all(observers.map((each) => each.stop()))
  await scene.stop()
})
rule.run()
