import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { HAND_OVER_MS } from '../../../agent/routes/follow.ts'
import { nextClaim, type RouteWish } from '../../../agent/routes/next-claim.ts'
import { type Advertised, type Links, OwnRoutes } from '../../../agent/routes/own-routes.ts'
import { routerOptionsOf } from '../../../agent/routes/router-options.ts'
import { underlayServers } from '../../../agent/routes/underlay.ts'
import { type Prefix, parsePrefix } from '../../../protocol/address.ts'
import { openEnvelope } from '../../../protocol/envelope.ts'
import type { RouteAdvertisement } from '../../../protocol/route-advertisement.ts'
import { routeClaims, routeStandbys } from '../../../protocol/route-claims.ts'
import { apply, type OrganizationState } from '../../../protocol/state.ts'
import { VirtualClock } from '../../../simulations/world/virtual-clock.ts'
import { NOON, testOrganization } from '../../support/organization.ts'
import { type TempDir, tempDir } from '../../support/temp-dir.ts'

const acme = testOrganization('acme')
const [laptop, phone] = [acme.device('laptop'), acme.device('phone')]
const [LAN, LAN2, ADDRESS] = ['10.99.1.0/24', '10.99.2.0/24', '10.99.0.1/32'].map(parsePrefix) as [
  Prefix,
  Prefix,
  Prefix,
]
const rule = suite('own routes')
let dir: TempDir
let clock: VirtualClock
let state: OrganizationState
let said: string[]
let logged: string[]

/** As the daemon does it, of the laptop. */
async function say(prefix: Prefix, wish: RouteWish): Promise<boolean> {
  const known = state.routes.get(`${laptop.id} ${prefix}`)?.body
  const isHolder = routeClaims(state, NOON).get(prefix)?.[0]?.device === laptop.id
  const claim = nextClaim(prefix, known, wish, { isHolder, epoch: 7 })
  if (claim === undefined) return false
  said.push(`${wish.kind} ${prefix}`)
  learn(acme.route(laptop, prefix, { ...claim, sequence: (known?.sequence ?? 0) + 1 }))
  return true
}
const learn = (bytes: Uint8Array): void => {
  state = apply(state, openEnvelope(bytes), NOON).state
}
const routes = (): readonly RouteAdvertisement[] =>
  [...state.routes.values()]
    .filter(
      ({ signer, body }) =>
        signer === laptop.id && (body.state !== 'withdrawn' || body.priority !== undefined),
    )
    .map(({ body }) => body)
const view = () => ({ claims: routeClaims(state, NOON), standbys: routeStandbys(state, NOON) })
const own = (...prefixes: readonly Prefix[]): OwnRoutes =>
  new OwnRoutes({
    device: laptop.id,
    advertised: prefixes.map((prefix): Advertised => ({ prefix, metric: 100, probe: undefined })),
    file: join(dir.path, 'routes.json'),
    say,
    routes,
    nameOf: (device) => (device === phone.id ? 'phone' : 'laptop'),
    clock,
    log: (_level, event) => void logged.push(event),
  })

rule.before.each(async () => {
  dir = await tempDir()
  clock = new VirtualClock()
  said = []
  logged = []
  const prefixes = [parsePrefix('10.99.0.0/16')]
  state = acme.state(
    acme.issuerCertificate(),
    acme.manifest(),
    ...[laptop, phone].map((device) => acme.certificate(device, { prefixes })),
  )
})
rule.after.each(async () => {
  await dir[Symbol.asyncDispose]()
})

rule('say what options want, and withdraw what they want no more (defects 9, 10)', async () => {
  await own(LAN, LAN2).begin()
  assert.equal(said, [`advertise ${LAN}`, `advertise ${LAN2}`])
  await own(LAN2).begin()
  assert.equal(said.slice(2), [`withdraw ${LAN}`])
  assert.equal([...view().claims.keys()], [LAN2])
})

rule('keep what an operator advertised by command, whatever the options say', async () => {
  await say(LAN, { kind: 'advertise' })
  await own(LAN2).begin()
  await own().begin()
  assert.equal([...view().claims.keys()], [LAN])
})

rule('come back after a stop that drained them, and only then', async () => {
  const first = own(LAN)
  await first.begin()
  await say(LAN2, { kind: 'advertise' })
  assert.equal(await first.drain(view()), [])
  await first.keepDrained()
  assert.ok(routes().every((route) => route.state === 'draining'))
  // Who uses it is given the time to leave it without loss.
  assert.ok(routes().every((route) => route.handOverMs === HAND_OVER_MS))
  await own(LAN).begin()
  assert.ok(routes().every((route) => route.state === 'active'))
  // By the operator's command, without a stop: it stays.
  await say(LAN2, { kind: 'drain' })
  await own(LAN).begin()
  assert.equal(
    routes().map((route) => [route.prefix, route.state]),
    [
      [LAN, 'active'],
      [LAN2, 'draining'],
    ],
  )
})

rule('come back after a crash, if this device drained them itself', async () => {
  const first = own(LAN)
  await first.begin()
  await say(LAN2, { kind: 'advertise' })
  for (const prefix of [LAN, LAN2]) await say(prefix, { kind: 'drain' })
  await first.keepAside([LAN2], new Map())
  await own(LAN).begin()
  assert.ok(routes().every((route) => route.state === 'active'))
})

/** What is without carrier at a start, and by which links it was asked for. */
function finding(...lost: readonly Prefix[]) {
  const asked: unknown[] = []
  const find = async (prefixes: readonly Prefix[], links: Links): Promise<Set<Prefix>> => {
    asked.push([[...prefixes], [...links]])
    return new Set(lost)
  }
  return { asked, find }
}
const states = () => routes().map(({ prefix, state: said, metric }) => [prefix, said, metric])

rule('come drained where their link has no carrier, and are never offered before', async () => {
  const { find } = finding(LAN)
  await own(LAN, LAN2).begin(find)
  assert.equal(states(), [
    [LAN, 'draining', 100],
    [LAN2, 'active', 100],
  ])
  assert.equal(said, [`advertise ${LAN}`, `advertise ${LAN2}`])
  await say(LAN, { kind: 'advertise' })
  assert.equal(states()[0], [LAN, 'active', 100])
})

rule(
  'are looked for by the links that an earlier start knew, after a stop and a crash',
  async () => {
    const links = new Map([LAN, LAN2].map((prefix, index) => [prefix, `eth${index}`]))
    const first = own(LAN)
    await first.begin()
    await say(LAN2, { kind: 'advertise' })
    await first.keepAside([], links)
    await first.drain(view())
    await first.keepDrained()
    const stopped = finding(LAN, LAN2)
    await own(LAN).begin(stopped.find)
    assert.equal(stopped.asked, [[[LAN, LAN2], [...links]]])
    assert.ok(routes().every((route) => route.state === 'draining'))
    // That start crashes: what it left drained comes back by the next.
    const crashed = finding()
    await own(LAN).begin(crashed.find)
    assert.equal(crashed.asked, stopped.asked)
    assert.ok(routes().every((route) => route.state === 'active'))
  },
)

rule('read what earlier versions kept, which knew no links', async () => {
  await writeFile(
    join(dir.path, 'routes.json'),
    JSON.stringify({ options: [LAN], drained: [LAN2] }),
  )
  for (const kind of ['advertise', 'drain'] as const) await say(LAN2, { kind })
  const { asked, find } = finding()
  await own(LAN).begin(find)
  assert.equal([asked, logged], [[[[LAN, LAN2], []]], []])
  assert.ok(routes().every((route) => route.state === 'active'))
})

rule('drain to those that can take them: another router, and the best standby', async () => {
  const first = own(LAN, LAN2, ADDRESS)
  await first.begin()
  learn(acme.route(phone, LAN, { metric: 200 }))
  learn(acme.route(phone, ADDRESS, { state: 'withdrawn', priority: 9 }))
  assert.equal((await first.drain(view())).toSorted(), [ADDRESS, LAN])
  const address = routes().find(({ prefix }) => prefix === ADDRESS)
  assert.equal([address?.state, address?.successor], ['active', phone.id])
})

rule(
  'take over from a holder that asks, where they stand by, and say why not where they do not',
  async () => {
    learn(acme.route(phone, ADDRESS, { successor: laptop.id }))
    const first = own()
    await first.begin()
    await first.react(view(), [])
    assert.equal([said, logged], [[], ['route.not-taken']])
    await say(ADDRESS, { kind: 'stand-by', priority: 5 })
    await clock.advance(4000)
    await first.react(view(), [])
    const taken = routes().find(({ prefix }) => prefix === ADDRESS)
    assert.equal([taken?.state, taken?.epoch, taken?.handOverMs], ['active', 7, 1000])
    assert.is(view().claims.get(ADDRESS)?.[0]?.device, laptop.id)
  },
)

rule('do not take an address back that was lost while they were away', async () => {
  await own(ADDRESS).begin()
  learn(acme.route(phone, ADDRESS, { epoch: 20 }))
  await own(ADDRESS).begin()
  assert.equal(said, [`advertise ${ADDRESS}`])
})

rule('try a takeover again only after a while', async () => {
  await say(ADDRESS, { kind: 'stand-by', priority: 5 })
  const first = own()
  await first.react(view(), [ADDRESS])
  learn(acme.route(phone, ADDRESS, { epoch: 20 }))
  await first.react(view(), [ADDRESS])
  assert.is(said.filter((line) => line.startsWith('advertise')).length, 1)
  await clock.advance(3001)
  await first.react(view(), [ADDRESS])
  assert.is(logged.filter((event) => event === 'route.taken-over').length, 2)
})

rule('come from options with the probe that lies in them', () => {
  const { advertised, networkRouter, nat } = routerOptionsOf({
    advertiseCidr: '10.1.0.0/24, fd01::/64',
    probe: ['tcp:10.1.0.5:443'],
    metric: 5,
    networkRouter: true,
    disableNat: true,
  })
  assert.equal(
    advertised.map(({ prefix, metric, probe }) => [prefix, metric, probe?.kind]),
    [
      ['10.1.0.0/24', 5, 'tcp'],
      ['fd01::/64', 5, undefined],
    ],
  )
  assert.equal([networkRouter, nat], [true, false])
  const exit = routerOptionsOf({ exitNode: true })
  assert.equal(
    exit.advertised.map(({ prefix }) => prefix),
    ['0.0.0.0/0', '::/0'],
  )
  assert.is(exit.networkRouter, true)
})

for (const [what, fields, message] of [
  ['a prefix with host bits', { advertiseCidr: ['192.168.1.1/24'] }, /host bits/],
  ['a default prefix', { advertiseCidr: ['0.0.0.0/0'] }, /say --exit-node/],
  [
    'a probe outside of every prefix',
    { advertiseCidr: ['10.1.0.0/24'], probe: ['icmp:10.2.0.1'] },
    /in none of the prefixes/,
  ],
  ['a probe by name', { advertiseCidr: ['10.1.0.0/24'], probe: ['icmp:db'] }, /IP address/],
] as const)
  rule(`refuse ${what} among the options`, () => {
    assert.throws(() => routerOptionsOf(fields), message)
  })

rule('let nobody but the issuer say which servers go around an exit', () => {
  const multiaddrs = ['/ip4/203.0.113.5/tcp/1', '/dns4/evil.example/tcp/1']
  const all = acme.state(
    acme.issuerCertificate(),
    acme.manifest({
      rendezvous: [{ multiaddrs: ['/ip6/2001:db8::9/tcp/1'], stun: ['198.51.100.3:3478'] }],
    }),
    acme.certificate(laptop, { roles: ['router'] }),
    acme.certificate(phone, { roles: ['relay'] }),
    acme.endpoint(laptop, { multiaddrs: ['/ip4/192.0.2.66/tcp/1'] }),
    acme.endpoint(phone, { multiaddrs }),
  )
  assert.equal(underlayServers(all, ['/ip4/198.51.100.1/tcp/4'], NOON).toSorted(), [
    '198.51.100.1',
    '198.51.100.3',
    '2001:db8::9',
    '203.0.113.5',
  ])
})

rule.run()
