import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { provedNow, UNDERLAY_LIMITS, underlayOf } from '../../../agent/organizations/underlay.ts'
import { parseEndpoint, parseIpAddress, parsePrefix } from '../../../protocol/address.ts'
import type { Member } from '../../../protocol/belief.ts'
import type { DeviceId } from '../../../protocol/keys.ts'
import { testOrganization } from '../../support/organization.ts'

const acme = testOrganization('acme')
const [phone, server] = ['phone', 'server'].map((name) => acme.device(name).id) as [
  DeviceId,
  DeviceId,
]
const addresses = (...texts: readonly string[]) => texts.map(parseIpAddress)

/** A peer that says where it is. */
function at(...texts: readonly string[]): Pick<Member, 'endpoints'> {
  const candidates = addresses(...texts).map((address) => ({ kind: 'host', address, port: 1 }))
  return { endpoints: { body: { candidates } } } as unknown as Pick<Member, 'endpoints'>
}
const PEERS = new Map([
  [phone, at('203.0.113.7', '192.168.7.5', '2001:db8::7')],
  [server, at('198.51.100.9', '10.5.0.9')],
])
const NOWHERE = () => undefined
const FACTS = {
  ...{ isFirst: true, proved: new Map(), peers: PEERS },
  ...{
    servers: addresses('10.9.0.1'),
    relays: addresses('10.77.0.2', '203.0.113.99'),
    own: addresses('203.0.113.1', '192.168.1.2'),
    elsewhere: [],
  },
}

const rule = suite('what an organization’s tunnel runs by')

rule('is of the first all that it may come to use', () => {
  assert.equal(
    underlayOf(FACTS),
    addresses(
      ...['10.9.0.1', '192.168.1.2', '198.51.100.9'],
      ...['2001:db8::7', '203.0.113.1', '203.0.113.7', '203.0.113.99'],
    ),
  )
})

rule('is of a further one only what checks have proved', () => {
  const proved = provedNow(new Map(), PEERS, (device) =>
    device === phone ? parseEndpoint('192.168.7.5:51820') : undefined,
  )
  assert.equal(underlayOf({ ...FACTS, isFirst: false, proved }), addresses('192.168.7.5'))
  assert.ok(underlayOf({ ...FACTS, proved }).includes(parseIpAddress('192.168.7.5')))
})

rule('stays while a peer rests, until it is gone or somewhere else', () => {
  const home = () => parseEndpoint('192.168.7.5:51820')
  const before = provedNow(new Map(), new Map([[phone, at('192.168.7.5')]]), home)
  const still = provedNow(before, PEERS, NOWHERE)
  assert.equal(still.get(phone), addresses('192.168.7.5'))
  assert.equal(provedNow(still, new Map([[phone, at('10.1.1.1')]]), NOWHERE).get(phone), [])
  assert.is(provedNow(still, new Map(), NOWHERE).size, 0)
})

rule('is no address of this host inside another’s tunnel', () => {
  const own = addresses('10.77.0.5', '192.168.1.2', '203.0.113.1')
  const elsewhere = [parsePrefix('10.77.0.0/16'), parsePrefix('203.0.113.0/24')]
  assert.equal(
    underlayOf({ ...FACTS, peers: new Map(), servers: [], relays: [], own, elsewhere }),
    addresses('192.168.1.2', '203.0.113.1'),
  )
})

rule('has limits: of one peer, and of all', () => {
  let proved = new Map<DeviceId, readonly ReturnType<typeof parseIpAddress>[]>()
  const many = Array.from({ length: 20 }, (_, index) => `192.168.7.${index}`)
  for (const text of many)
    proved = new Map(
      provedNow(proved, new Map([[phone, at(...many)]]), () => parseEndpoint(`${text}:1`)),
    )
  assert.is(proved.get(phone)?.length, UNDERLAY_LIMITS.proved)
  assert.is(proved.get(phone)?.[0], '192.168.7.19')
  const servers = Array.from({ length: 3000 }, (_, index) =>
    parseIpAddress(`10.9.${index >> 8}.${index & 255}`),
  )
  assert.is(underlayOf({ ...FACTS, servers }).length, UNDERLAY_LIMITS.addresses)
})

rule.run()
