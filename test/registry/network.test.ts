// time limit: 240 s
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { EndpointUpdate } from '../../protocol/endpoint-update.ts'
import { openEnvelope } from '../../protocol/envelope.ts'
import type { PathReport } from '../../protocol/path-report.ts'
import { relayAddressOf } from '../../protocol/relay.ts'
import { apply } from '../../protocol/state.ts'
import { seconds } from '../../protocol/time.ts'
import { networkOf } from '../../registry/network.ts'
import { withSession } from '../support/api.ts'
import { networkScene } from '../support/network-scene.ts'
import { NOON, type TestDevice, testOrganization } from '../support/organization.ts'
import { startTestRegistry } from '../support/registry.ts'

const rule = suite('network of an organization')

const acme = testOrganization('acme')
const [laptop, phone, edge, gone] = ['laptop', 'phone', 'edge', 'gone'].map((name) =>
  acme.device(name),
) as [TestDevice, TestDevice, TestDevice, TestDevice]

type Paths = readonly (Partial<PathReport> & { readonly to: TestDevice })[]

/** What each said, and whether it is online; seen so many seconds ago. */
function seen(
  said: readonly (readonly [TestDevice, Paths, Partial<EndpointUpdate>?])[],
  online: readonly TestDevice[],
  { areRegistriesMany = false, ago = 30 } = {},
) {
  let state = acme.stateWith('laptop', 'phone', 'edge', 'gone')
  for (const [by, paths, also] of said) {
    const reports = paths.map(({ to, kind = 'direct', ...rest }) => ({
      ...{ peer: relayAddressOf(to.id), kind, ...rest },
    }))
    state = apply(state, openEnvelope(acme.endpoint(by, { paths: reports, ...also })), NOON).state
  }
  const facts = (each: TestDevice) => ({
    ...{ id: each.id, name: each.name, owner: 'ada', online: online.includes(each) },
    seenAt: seconds(NOON - ago),
  })
  const devices = [phone, laptop, edge].map(facts)
  return networkOf({ devices, state, areRegistriesMany, now: NOON })
}

const ends = ({ links }: ReturnType<typeof seen>) =>
  links.map(({ a, b, kind, reports }) => [nameOf(a), nameOf(b), kind, reports.length])
const nameOf = (id: string) => [laptop, phone, edge].find((each) => each.id === id)?.name ?? '?'
const states = ({ devices }: ReturnType<typeof seen>) =>
  devices.map(({ name, state }) => `${name} ${state}`)

rule('is as devices say, one end or both, by name', () => {
  const network = seen(
    [
      [
        laptop,
        [
          { to: phone, roundTripMs: 12 },
          { to: edge, kind: 'relayed', relay: 'registry' },
        ],
      ],
      [phone, [{ to: laptop, roundTripMs: 14 }], { issuedAt: seconds(NOON - 5) }],
    ],
    [laptop, phone, edge],
  )
  assert.equal(ends(network), [
    ['edge', 'laptop', 'relayed', 1],
    ['laptop', 'phone', 'direct', 2],
  ])
  assert.equal(states(network), ['edge online', 'laptop online', 'phone online'])
  const [relayed, direct] = network.links
  assert.is(relayed?.relay, 'registry')
  assert.is(direct?.roundTripMs, 14, 'what was said last')
  assert.is(direct?.saidAt, NOON - 5)
})

rule('names the device that relays, and nobody where it is no member any more', () => {
  const relayed = (relay: TestDevice) =>
    seen(
      [[laptop, [{ to: phone, kind: 'relayed', relay: relayAddressOf(relay.id) }]]],
      [laptop, phone],
    ).links[0]
  assert.is(relayed(edge)?.relay, edge.id)
  assert.is(relayed(gone)?.relay, undefined)
})

rule('knows no link to who is no member, nor to oneself', () => {
  const network = seen([[laptop, [{ to: gone }, { to: laptop }]]], [laptop])
  assert.equal(network.links, [])
})

rule('does not take the old word of a device that is away', () => {
  const network = seen([[laptop, [{ to: phone }]]], [phone])
  assert.equal(network.links, [])
  assert.equal(states(network), ['edge offline', 'laptop offline', 'phone online'])
})

rule('takes the word of a device about one that is not connected here', () => {
  const network = seen([[laptop, [{ to: phone }]]], [laptop])
  assert.equal(ends(network), [['laptop', 'phone', 'direct', 1]])
  assert.equal(states(network), ['edge offline', 'laptop online', 'phone reached'])
})

rule('takes the word of a device that another registry has seen lately', () => {
  const said = [[laptop, [{ to: phone }]]] as const
  assert.is(seen(said, [], { areRegistriesMany: true, ago: 300 }).links.length, 1)
  assert.is(seen(said, [], { areRegistriesMany: true, ago: 400 }).links.length, 0)
})

rule('does not take a word that has ended', () => {
  const over = { issuedAt: seconds(NOON - 7200), notAfter: seconds(NOON - 1) }
  assert.equal(seen([[laptop, [{ to: phone }], over]], [laptop, phone]).links, [])
})

rule('is told by the API to members alone, links of one device where it is asked', async () => {
  await using here = await networkScene()
  const { ada, path, laptop: one, phone: other, lamp } = here
  await one.say([{ ...other.path('relayed', 81), relay: 'registry' }, lamp.path('direct', 3)])
  const { status, json } = await ada('GET', path)
  assert.is(status, 200)
  assert.equal(json['count'], { devices: 3, online: 2, links: 2, direct: 1, relayed: 1 })
  const [first, second] = json['links'] as Record<string, unknown>[]
  assert.equal(
    [first?.['kind'], first?.['relay'], first?.['roundTripMs']],
    ['relayed', 'registry', 81],
  )
  assert.equal([second?.['kind'], second?.['roundTripMs']], ['direct', 3])
  const listed = (await ada('GET', path.replace('network', 'devices'))).json['devices']
  assert.equal(
    (listed as { name: string; online: boolean; reached: boolean }[])
      .map((each) => `${each.name} ${each.online} ${each.reached}`)
      .toSorted(),
    ['lamp false true', 'laptop true false', 'phone true false'],
    'a device list tells of gossip, too',
  )
  const names = (await ada('GET', `${path}?limit=1`)).json['devices'] as { name: string }[]
  assert.is(names.length, 1)
  const own = await ada('GET', `${path}?device=${other.id}`)
  assert.equal(own.json['count'], { devices: 2, online: 2, links: 1, direct: 0, relayed: 1 })
  await one.say([{ ...other.path('relayed', 81), relay: relayAddressOf(lamp.id) }])
  const ofLaptop = async () => (await ada('GET', `${path}?device=${one.id}`)).json
  const relays = ({ links }: Record<string, unknown>) => (links as { relay?: string }[])[0]?.relay
  let through = await ofLaptop()
  // An organization is looked at anew after a second or two.
  while (relays(through) !== lamp.id) {
    await sleep(200)
    through = await ofLaptop()
  }
  const told = (through['devices'] as { name: string }[]).map((each) => each.name)
  assert.equal(told.toSorted(), ['lamp', 'laptop', 'phone'], 'whoever relays is named, too')
  assert.is((await ada('GET', `${path}?device=no%20id`)).status, 400)
  assert.is((await ada('GET', `${path}?limit=0`)).status, 400)
  const bob = withSession(await here.registry.bob(here.browser))
  assert.is((await bob('GET', path)).status, 404)
})

rule('has a page with one script of its own, and other pages have none', async () => {
  await using here = await networkScene()
  const { browser, home, laptop: one, phone: other } = here
  await one.say([other.path('direct', 12), here.lamp.path('direct', 3)])
  const page = await browser.fetch(`${home}/network`)
  const text = await page.text()
  assert.match(page.headers.get('content-security-policy') ?? '', "script-src 'self'")
  assert.match(text, /2 of 3 devices online.*; 2 links direct, 0 relayed/)
  assert.match(text, /<td><strong>laptop<\/strong> – <strong>phone<\/strong><\/td>/)
  const devices = await browser.fetch(home)
  assert.match(await devices.text(), '<td>in touch with others</td>')
  assert.not.match(devices.headers.get('content-security-policy') ?? '', 'script-src')
  const version = /data-version="(\w+)"/.exec(text)?.[1] ?? ''
  const live = (more: string) => browser.fetch(`${home}/network/live?version=${version}${more}`)
  assert.is((await live('')).status, 204)
  assert.is((await live('&path=relayed')).status, 200)
  for (const wrong of ['&path=any', '&page=0', '&device=x'])
    assert.is((await live(wrong)).status, 400)
})

rule('has nothing to tell of an organization without devices', async () => {
  await using registry = await startTestRegistry()
  const browser = await registry.ada()
  const [home = ''] = /\/organizations\/\w+/.exec((await browser.open('/')).text) ?? []
  assert.match((await browser.open(`${home}/network`)).text, 'No device yet')
  const { json } = await withSession(browser)('GET', `${home}/network`)
  assert.equal(json, {
    devices: [],
    links: [],
    count: { devices: 0, online: 0, links: 0, direct: 0, relayed: 0 },
  })
})

rule.run()
