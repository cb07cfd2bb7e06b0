import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Prefix, parsePrefix } from '../../protocol/address.ts'
import { openEnvelope } from '../../protocol/envelope.ts'
import type { RouteAdvertisement } from '../../protocol/route-advertisement.ts'
import { routeClaims, routeStandbys } from '../../protocol/route-claims.ts'
import { formatRouteProbe, parseProbeOf, parseRouteProbe } from '../../protocol/route-probe.ts'
import { NOON, testOrganization } from '../support/organization.ts'

const acme = testOrganization('acme')
const [laptop, phone, tablet] = [acme.device('laptop'), acme.device('phone'), acme.device('tablet')]
const ADDRESS = parsePrefix('10.99.0.1/32')
const rule = suite('route claims (SPEC §6.2, §8.3 to §8.7)')

const members = (prefixes: readonly Prefix[] = [parsePrefix('10.99.0.0/24')]) => [
  acme.issuerCertificate(),
  acme.manifest(),
  ...[laptop, phone, tablet].map((device) => acme.certificate(device, { prefixes })),
]
const body = (bytes: Uint8Array): RouteAdvertisement => {
  const envelope = openEnvelope(bytes)
  if (envelope.kind !== 'route-advertisement') throw new Error(envelope.kind)
  return envelope.body
}

rule('carries probe, priority, hand-over and successor over the wire', () => {
  const extras = {
    probe: parseRouteProbe('tcp:10.99.0.1:443'),
    priority: 200,
    handOverMs: 500,
    successor: phone.id,
  }
  const said = body(acme.route(laptop, ADDRESS, extras))
  assert.equal({ ...said, ...extras }, said)
  const plain = body(acme.route(laptop, ADDRESS))
  for (const name of Object.keys(extras)) assert.not.ok(name in plain, name)
})

rule('takes a standby for no holder, whatever its epoch, and orders standbys by priority', () => {
  const state = acme.state(
    ...members(),
    acme.route(laptop, ADDRESS, { epoch: 1 }),
    acme.route(phone, ADDRESS, { epoch: 9, state: 'withdrawn', priority: 10 }),
    acme.route(tablet, ADDRESS, { epoch: 0, state: 'withdrawn', priority: 20 }),
  )
  assert.equal(
    routeClaims(state, NOON)
      .get(ADDRESS)
      ?.map(({ device }) => device),
    [laptop.id],
  )
  assert.equal(
    routeStandbys(state, NOON)
      .get(ADDRESS)
      ?.map(({ device }) => device),
    [tablet.id, phone.id],
  )
})

rule('has no standby for a shorter prefix: there routers are ordered by metric', () => {
  const shorter = { state: 'withdrawn', priority: 10 } as const
  const state = acme.state(...members(), acme.route(laptop, '10.99.0.0/28', shorter))
  assert.is(routeStandbys(state, NOON).size, 0)
})

rule('puts a router that drains after all others', () => {
  const state = acme.state(
    ...members(),
    acme.route(laptop, '10.99.0.0/28', { metric: 1, state: 'draining' }),
    acme.route(phone, '10.99.0.0/28', { metric: 200 }),
  )
  assert.equal(
    routeClaims(state, NOON)
      .get(parsePrefix('10.99.0.0/28'))
      ?.map(({ device }) => device),
    [phone.id, laptop.id],
  )
})

rule('believes a default prefix only of an exit node, to which it allows nothing else', () => {
  const all = [parsePrefix('0.0.0.0/0')]
  const prefixesOf = (roles: ('relay' | 'exit-node')[]): string[] => [
    ...routeClaims(
      acme.state(
        acme.issuerCertificate(),
        acme.manifest(),
        acme.certificate(laptop, { prefixes: all, roles }),
        acme.route(laptop, '0.0.0.0/0'),
        acme.route(laptop, '::/0'),
        acme.route(laptop, '10.7.0.0/16'),
      ),
      NOON,
    ).keys(),
  ]
  assert.equal(prefixesOf(['relay']), [])
  assert.equal(prefixesOf(['exit-node']), ['0.0.0.0/0'])
})

rule('reads probes of every kind, and writes each in one way', () => {
  for (const [given, canonical] of [
    ['icmp:10.0.0.1', 'icmp:10.0.0.1'],
    ['icmp:[fd00::1]', 'icmp:fd00::1'],
    ['tcp:[FD00::1]:443', 'tcp:[fd00::1]:443'],
    ['http://10.0.0.1', 'http://10.0.0.1:80/'],
    ['http://[fd00::1]:8080/up?x=1', 'http://[fd00::1]:8080/up?x=1'],
  ] as const)
    assert.is(formatRouteProbe(parseRouteProbe(given)), canonical)
})

for (const [what, text] of [
  ['without a kind', '10.0.0.1'],
  ['of TCP without a port', 'tcp:10.0.0.1'],
  ['of port 0', 'tcp:10.0.0.1:0'],
  ['by HTTPS', 'https://10.0.0.1/'],
  ['with a user', 'http://root@10.0.0.1/'],
  ['with a line break in its path', 'http://10.0.0.1/a\r\nHost: b'],
  ['with a space in its path', 'http://10.0.0.1/a b'],
  ['of another family', 'icmp:fd00::1'],
  ['of the next network', 'icmp:10.0.1.1'],
] as const)
  rule(`refuses a probe ${what}`, () => {
    assert.throws(() => parseProbeOf(parsePrefix('10.0.0.0/24'), text), /malformed/)
  })

rule.run()
