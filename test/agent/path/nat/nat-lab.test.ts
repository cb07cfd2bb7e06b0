// time limit: 900 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { formatEndpoint } from '../../../../protocol/address.ts'
import { featuresOf, natRules, type SiteKind } from '../../../../simulations/lab/nat.ts'
import { needs } from '../../../support/needs.ts'
import { type NatHost, startNatLab, until } from './nat-lab.ts'

needs('root', 'netns', 'nft', 'conntrack')

const KINDS = [
  'full',
  'addr',
  'port',
  'port-np',
  'symm',
  'cgnat',
  'v6dual',
  'fw',
  'public',
] as const
const lab = await startNatLab(KINDS)
const rule = suite('NATs of the laboratory, as hosts find them (RFC 4787)')

function host(kind: SiteKind): NatHost {
  const found = lab.hosts.get(kind)
  assert.ok(found !== undefined, kind)
  return found
}

for (const each of lab.all()) each.order({ kind: 'servers', servers: lab.servers })
await Promise.all(lab.all().map((each) => until('candidates', () => each.candidates.length > 0)))
lab.strangersFirst()
lab.introduce()

rule('know their mapping, proved by three voices, and whether the port is preserved', async () => {
  for (const [kind, mapping, portPreserved] of [
    ['full', 'endpoint-independent', 'yes'],
    ['addr', 'endpoint-independent', 'yes'],
    ['port', 'endpoint-independent', 'yes'],
    ['port-np', 'endpoint-independent', 'no'],
    ['symm', 'address-and-port-dependent', 'no'],
    ['cgnat', 'endpoint-independent', 'yes'],
    ['v6dual', 'endpoint-independent', 'yes'],
    ['fw', 'none', 'unknown'],
    ['public', 'none', 'unknown'],
  ] as const) {
    const { report } = await host(kind).becomes(
      `${kind} ${mapping}`,
      (view) => view.isMappingProved && view.report.mapping === mapping,
    )
    assert.equal([report.portPreserved, report.udp], [portPreserved, 'works'], kind)
  }
})

rule('have a mapped endpoint that all agree on where there is one', async () => {
  for (const [kind, mapped] of [
    ['port', '198.18.3.2:51820'],
    ['cgnat', '198.18.6.2:51820'],
    ['port-np', `198.18.4.2:${51820 ^ 0x2000}`],
  ] as const) {
    const [view] = await host(kind).look()
    assert.is(view?.mapped && formatEndpoint(view.mapped), mapped, kind)
  }
})

rule('know IPv6 apart: no NAT there', async () => {
  const { report } = await host('v6dual').becomes(
    'no NAT over IPv6',
    (view) => view.report.mapping === 'none',
    6,
  )
  assert.is(report.udp, 'works')
  const [, port] = await host('port').look()
  assert.equal([port?.report.mapping, port?.report.udp], ['unknown', 'unknown'])
})

rule('say it in their endpoint update', async () => {
  const said = (): string =>
    host('v6dual')
      .nat.map(({ family, mapping }) => `${family} ${mapping}`)
      .join()
  await until('said', () => said() === '4 endpoint-independent,6 none')
})

/** Both strangers check the host, each by an address of an observer's host. */
async function knock(kind: SiteKind, from: readonly string[]): Promise<void> {
  const target = host(kind)
  const [view] = await target.look()
  const own = target.candidates.find((one) => one.kind === 'host')
  const at = view?.mapped ?? own
  assert.ok(at !== undefined, kind)
  for (const [index, stranger] of lab.strangers.entries()) {
    lab.observers[index]?.order({
      kind: 'check',
      as: stranger,
      to: target.person,
      at: formatEndpoint(at),
      from: from[index] ?? '',
    })
  }
}

rule(
  'know their filtering where checks came that nothing was sent for, and say no more',
  async () => {
    const [first, second] = lab.observers
    assert.ok(first !== undefined && second !== undefined)
    for (const { namespace, site } of [first.host, second.host])
      await namespace.exec('ip', 'addr', 'add', `198.18.${site}.7/24`, 'dev', 'wan')
    const spoken = [first, second].map(
      ({ host: { site } }, index) => `198.18.${site}.2:${7001 + index}`,
    )
    const unheard = [first, second].map(({ host: { site } }) => `198.18.${site}.7:7000`)
    for (const kind of KINDS) {
      await knock(kind, spoken)
      await knock(kind, unheard)
    }
    for (const [kind, filtering] of [
      ['public', 'endpoint-independent'],
      ['full', 'endpoint-independent'],
      ['addr', 'address-dependent'],
    ] as const)
      await host(kind).becomes(
        `${kind} ${filtering}`,
        (view) => view.report.filtering === filtering,
      )
    for (const kind of ['port', 'port-np', 'symm', 'cgnat', 'v6dual', 'fw'] as const) {
      const [view] = await host(kind).look()
      assert.is(view?.report.filtering, 'unknown', kind)
    }
  },
)

rule('know that nothing comes back by their own mapped endpoint', async () => {
  for (const kind of ['full', 'port'] as const)
    await host(kind).becomes(`${kind}: no hairpinning`, (view) => view.report.hairpinning === 'no')
})

rule('know it without any STUN server: members see for each other', async () => {
  const symm = host('symm')
  for (const each of lab.all()) each.order({ kind: 'servers', servers: [] })
  for (const kind of ['port', 'symm', 'public'] as const) {
    const each = host(kind)
    await lab.lab.flush(KINDS.indexOf(kind) + 1)
    each.order({ kind: 'network-changed' })
    const { observations, report } = await each.becomes(
      `${kind}, by three members`,
      (view) =>
        view.isMappingProved &&
        view.observations.filter(({ device }) => device !== undefined).length >= 3,
    )
    assert.is(report.udp, 'works', kind)
    assert.ok(observations.length > 0)
  }
  const [view] = await symm.look()
  assert.match(view?.report.mapping ?? '', /^address-/)
  for (const each of lab.all()) each.order({ kind: 'servers', servers: lab.servers })
})

rule('heal when the NAT becomes another, both ways, and find that it hairpins now', async () => {
  const port = host('port')
  const router = lab.lab.router(KINDS.indexOf('port') + 1)
  const replace = async (rules: readonly string[]): Promise<void> => {
    await router.batch('nft', ['delete table ip nat', 'delete table ip6 fw', ...rules])
    await router.exec('conntrack', '-F')
  }
  await replace(natRules(featuresOf('symm')))
  await port.becomes('dependent', (view) => /^address-/.test(view.report.mapping))
  await replace(HAIRPIN)
  const healed = await port.becomes(
    'endpoint-independent again',
    (view) => view.report.mapping === 'endpoint-independent' && view.isMappingProved,
  )
  assert.is(healed.report.portPreserved, 'yes')
  await port.becomes('hairpinning', (view) => view.report.hairpinning === 'yes')
})

/** A full cone that also sends back what its LAN sends to its public address. */
const HAIRPIN = natRules(featuresOf('hairpin'), { addresses: ['198.18.3.2', '198.18.3.3'] })

rule('measure how long an unused mapping lasts', async () => {
  const np = host('port-np')
  const router = lab.lab.router(KINDS.indexOf('port-np') + 1)
  await router.exec('sysctl', '-qw', 'net.netfilter.nf_conntrack_udp_timeout_stream=12')
  await router.exec('sysctl', '-qw', 'net.netfilter.nf_conntrack_udp_timeout=12')
  np.order({ kind: 'lifetime', longest: 30 })
  const { lifetime } = await np.becomes('measured', (view) => view.lifetime !== undefined)
  assert.ok(lifetime !== undefined)
  // Connection tracking ends entries when it looks, which may be a little later.
  const { atLeast, lessThan = Infinity } = lifetime
  assert.ok(atLeast >= 8 && atLeast < 20 && lessThan <= 25, JSON.stringify(lifetime))
  await until('said', () => np.nat[0]?.lifetime === Math.floor(atLeast))
})

rule('know that UDP is blocked where TCP is not, and that it works again', async () => {
  const addr = host('addr')
  const router = lab.lab.router(KINDS.indexOf('addr') + 1)
  addr.order({ kind: 'tcp', connected: true })
  await router.batch('nft', [
    'table ip block { chain out { type filter hook forward priority 1; meta l4proto udp drop; }',
    '}',
  ])
  await addr.becomes('blocked', (view) => view.report.udp === 'blocked')
  await router.exec('nft', 'delete', 'table', 'ip', 'block')
  await addr.becomes('open again', (view) => view.report.udp === 'works')
})

rule.after(async () => {
  await lab[Symbol.asyncDispose]()
})
rule.run()
