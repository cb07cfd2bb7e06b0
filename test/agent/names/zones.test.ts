import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type AnswerRecord, answer } from '../../../agent/names/answer.ts'
import { nameKnowledge } from '../../../agent/names/knowledge.ts'
import { reverseName, reverseZones } from '../../../agent/names/reverse.ts'
import { NO_ZONES, type Zones, zonesOf } from '../../../agent/names/zones.ts'
import { parseIpAddress, parsePrefix, prefixAddress } from '../../../protocol/address.ts'
import { extraRecord, forward } from '../../../protocol/organization-names.ts'
import { seconds } from '../../../protocol/time.ts'
import { NOON, testOrganization } from '../../support/organization.ts'

const acme = testOrganization('Acme Inc')
const [laptop, phone] = [acme.device('laptop'), acme.device('phone')]
const prefixes = [parsePrefix('10.99.0.0/16'), parsePrefix('100.64.9.0/24')]
const names = {
  records: [
    extraRecord('address', 'db', '10.99.0.1'),
    extraRecord('address', 'moving', '100.64.9.9'),
    extraRecord('alias', 'www.shop', 'db'),
    extraRecord('alias', 'loop-a', 'loop-b'),
    extraRecord('alias', 'loop-b', 'loop-a'),
    extraRecord('alias', 'gone', 'nobody'),
    extraRecord('text', 'phone', 'of Ada'),
    // A device has this name.
    extraRecord('address', 'phone', '10.6.6.6'),
    // These collide with what stands before them.
    extraRecord('alias', 'db', 'phone'),
    extraRecord('address', 'www.shop', '10.6.6.6'),
    extraRecord('text', '', 'the organization'),
  ],
  forwards: [
    forward('corp.example', ['10.99.0.53:53']),
    forward('lab.corp.example', ['10.99.1.53:53']),
    forward('99.10.in-addr.arpa', ['10.99.0.53:53']),
  ],
}
const state = acme.state(
  acme.issuerCertificate(),
  acme.manifest({ names, sequence: 7 }),
  ...[laptop, phone].map((device) => acme.certificate(device, { prefixes })),
  acme.route(phone, '100.64.9.9/32'),
  acme.route(phone, '100.64.9.8/32'),
  acme.route(laptop, '10.99.0.0/24'),
)
const zones = zonesOf(nameKnowledge(state, laptop.id, NOON))
const [v4 = '', v6 = ''] = phone.addresses.map(prefixAddress)

function ask(name: string, type = 'A', by: Zones = zones, of = 'IN'): string {
  const found = answer({ name, type, class: of }, by)
  if (found.kind === 'forward') return `forward ${found.forward.domain}`
  const { rcode, answers, authority } = found
  const text = answers.map(worded).join(' ')
  return [rcode, text, authority === undefined ? '' : `/ ${worded(authority)}`]
    .filter((each) => each !== '')
    .join(' ')
}

function worded(record: AnswerRecord): string {
  switch (record.type) {
    case 'A':
    case 'AAAA':
      return record.address
    case 'TXT':
      return record.text
    case 'SOA':
      return `SOA ${record.owner} ${record.serial}`
    case 'HINFO':
      return record.cpu
    default:
      return `${record.type} ${record.target}`
  }
}

const rule = suite('names of an organization (SPEC §13.2)')

rule('are those of its devices, in its domain and in that of its id', () => {
  assert.equal(zones.domains, ['acme-inc.nexodus', `${acme.id}.nexodus`])
  assert.is(ask('phone.acme-inc.nexodus'), `NOERROR ${v4}`)
  assert.is(ask('phone.acme-inc.nexodus', 'AAAA'), `NOERROR ${v6}`)
  assert.is(ask(`phone.${acme.id}.nexodus`), `NOERROR ${v4}`)
  assert.is(
    ask('laptop.acme-inc.nexodus'),
    `NOERROR ${prefixAddress(laptop.addresses[0] ?? parsePrefix('::/0'))}`,
  )
})

rule(
  'are told from names that have nothing of a type, and from names that there are not (RFC 2308)',
  () => {
    const soa = '/ SOA acme-inc.nexodus 7'
    assert.is(ask('nobody.acme-inc.nexodus'), `NXDOMAIN ${soa}`)
    assert.is(ask('phone.acme-inc.nexodus', 'MX'), `NOERROR ${soa}`)
    assert.is(ask('db.acme-inc.nexodus', 'AAAA'), `NOERROR ${soa}`)
    assert.is(ask('x.phone.acme-inc.nexodus'), `NXDOMAIN ${soa}`)
    assert.is(ask('acme-inc.nexodus'), `NOERROR ${soa}`)
  },
)

rule('are there, with nothing, where only names below them are (RFC 8020)', () => {
  assert.is(ask('shop.acme-inc.nexodus'), 'NOERROR / SOA acme-inc.nexodus 7')
  assert.is(ask('64.100.in-addr.arpa'), 'NOERROR / SOA 64.100.in-addr.arpa 7')
  assert.is(ask('0.64.100.in-addr.arpa', 'PTR'), 'NOERROR / SOA 64.100.in-addr.arpa 7')
  assert.is(ask('7.64.100.in-addr.arpa', 'PTR'), 'NXDOMAIN / SOA 64.100.in-addr.arpa 7')
})

rule('are found by address, in the ranges of the organization alone', () => {
  const reverse = (address: string): string => reverseName(parseIpAddress(address))
  assert.is(ask(reverse(v4), 'PTR'), 'NOERROR PTR phone.acme-inc.nexodus')
  assert.is(ask(reverse(v6), 'PTR'), 'NOERROR PTR phone.acme-inc.nexodus')
  assert.is(ask(reverse('100.64.77.7'), 'PTR'), 'NXDOMAIN / SOA 64.100.in-addr.arpa 7')
  assert.is(ask(reverse('100.127.0.1'), 'PTR'), 'NXDOMAIN / SOA 127.100.in-addr.arpa 7')
  for (const address of ['100.63.0.1', '100.128.0.1', '8.8.8.8', '2001:db8::1'])
    assert.is(ask(reverse(address), 'PTR'), 'REFUSED')
})

rule('of addresses that move are what a record calls them, else their holder’s', () => {
  assert.is(ask('moving.acme-inc.nexodus'), 'NOERROR 100.64.9.9')
  assert.is(ask('9.9.64.100.in-addr.arpa', 'PTR'), 'NOERROR PTR moving.acme-inc.nexodus')
  assert.is(ask('8.9.64.100.in-addr.arpa', 'PTR'), 'NOERROR PTR phone.acme-inc.nexodus')
  assert.equal(
    zones.listed.filter(({ short }) => short === 'moving'),
    [
      {
        name: 'moving.acme-inc.nexodus',
        short: 'moving',
        addresses: ['100.64.9.9'],
        device: 'phone',
        origin: 'record',
      },
    ],
  )
})

rule('follow aliases, but not for ever', () => {
  assert.is(ask('www.shop.acme-inc.nexodus'), 'NOERROR CNAME db.acme-inc.nexodus 10.99.0.1')
  assert.is(ask('www.shop.acme-inc.nexodus', 'CNAME'), 'NOERROR CNAME db.acme-inc.nexodus')
  assert.is(
    ask('www.shop.acme-inc.nexodus', 'AAAA'),
    'NOERROR CNAME db.acme-inc.nexodus / SOA acme-inc.nexodus 7',
  )
  assert.is(
    ask('gone.acme-inc.nexodus'),
    'NXDOMAIN CNAME nobody.acme-inc.nexodus / SOA acme-inc.nexodus 7',
  )
  assert.is(ask('loop-a.acme-inc.nexodus'), 'SERVFAIL')
})

rule('keep what collides out: devices first, then the earlier record', () => {
  assert.is(ask('phone.acme-inc.nexodus'), `NOERROR ${v4}`)
  assert.is(ask('phone.acme-inc.nexodus', 'TXT'), 'NOERROR of Ada')
  assert.is(ask('db.acme-inc.nexodus'), 'NOERROR 10.99.0.1')
  assert.is(ask('acme-inc.nexodus', 'TXT'), 'NOERROR the organization')
})

rule('say little to ANY (RFC 8482), nothing to transfers and other classes', () => {
  assert.is(ask('phone.acme-inc.nexodus', 'ANY'), 'NOERROR RFC8482')
  assert.is(ask('nobody.acme-inc.nexodus', 'ANY'), 'NXDOMAIN / SOA acme-inc.nexodus 7')
  for (const type of ['AXFR', 'IXFR']) assert.is(ask('acme-inc.nexodus', type), 'REFUSED')
  for (const each of ['CH', 'ANY', 'HS'])
    assert.is(ask('acme-inc.nexodus', 'A', zones, each), 'REFUSED')
})

rule('have a start of authority and a name server', () => {
  assert.is(ask('acme-inc.nexodus', 'SOA'), 'NOERROR SOA acme-inc.nexodus 7')
  assert.is(ask('acme-inc.nexodus', 'NS'), 'NOERROR NS acme-inc.nexodus')
  assert.is(ask('phone.acme-inc.nexodus', 'SOA'), 'NOERROR / SOA acme-inc.nexodus 7')
})

rule('of others are refused: nobody is to ask us', () => {
  for (const name of [
    '',
    'com',
    'example.com',
    'nexodus',
    'phone.other.nexodus',
    'xacme-inc.nexodus',
    'phone',
  ])
    assert.is(ask(name), 'REFUSED', name)
})

rule('that are forwarded go to the longest domain', () => {
  assert.is(ask('corp.example'), 'forward corp.example')
  assert.is(ask('a.corp.example'), 'forward corp.example')
  assert.is(ask('a.lab.corp.example', 'TXT'), 'forward lab.corp.example')
  assert.is(ask('1.0.99.10.in-addr.arpa', 'PTR'), 'forward 99.10.in-addr.arpa')
  assert.is(ask('xcorp.example'), 'REFUSED')
  assert.is(ask('a.corp.example', 'A', zones, 'CH'), 'REFUSED')
})

rule(
  'go with a device: when its certificate ends, or is revoked, and when it has another name',
  () => {
    const name = 'phone.acme-inc.nexodus'
    const at = (now: number): Zones => zonesOf(nameKnowledge(state, laptop.id, seconds(now)))
    assert.is(at(NOON + 86_399).domains.length, 2)
    const revoked = acme.state(
      acme.issuerCertificate(),
      acme.manifest({ revocations: new Map([[phone.serial, seconds(NOON + 86_400)]]) }),
      ...[laptop, phone].map((device) => acme.certificate(device)),
    )
    const without = zonesOf(nameKnowledge(revoked, laptop.id, NOON))
    assert.match(ask(name, 'A', without), /^NXDOMAIN/)
    assert.match(ask(reverseName(parseIpAddress(v4)), 'PTR', without), /^NXDOMAIN/)
    const renamed = acme.state(
      acme.issuerCertificate(),
      acme.manifest(),
      acme.certificate(laptop),
      acme.certificate(phone, { name: 'tablet' }),
    )
    const after = zonesOf(nameKnowledge(renamed, laptop.id, NOON))
    assert.match(ask(name, 'A', after), /^NXDOMAIN/)
    assert.is(ask('tablet.acme-inc.nexodus', 'A', after), `NOERROR ${v4}`)
  },
)

rule('are below the id alone where another organization of the host had the label first', () => {
  const other = testOrganization('ACME inc')
  const self = acme.device('laptop')
  const known = acme.state(acme.issuerCertificate(), acme.manifest(), acme.certificate(self))
  const before = (name: string): Zones =>
    zonesOf(nameKnowledge(known, self.id, NOON, [{ id: other.id, name }]))
  const own = ['acme-inc.nexodus', `${acme.id}.nexodus`]
  assert.equal(before('something else').domains, own)
  const taken = before('Acme, Inc')
  assert.equal(taken.domains, [`${acme.id}.nexodus`])
  assert.is(taken.takenBy, other.id)
  assert.is(ask('laptop.acme-inc.nexodus', 'A', taken), 'REFUSED')
})

rule('are none at all on a device that is no member', () => {
  const other = acme.device('stranger')
  assert.is(zonesOf(nameKnowledge(state, other.id, NOON)), NO_ZONES)
  assert.is(ask('phone.acme-inc.nexodus', 'A', NO_ZONES), 'REFUSED')
  assert.is(zonesOf(nameKnowledge(acme.state(), laptop.id, NOON)), NO_ZONES)
})

rule('of two devices belong to the lower id, the same everywhere', () => {
  const twins = acme.state(
    acme.issuerCertificate(),
    acme.manifest(),
    acme.certificate(laptop, { name: 'twin' }),
    acme.certificate(phone, { name: 'twin' }),
  )
  const first = laptop.id < phone.id ? laptop : phone
  for (const self of [laptop, phone]) {
    const of = zonesOf(nameKnowledge(twins, self.id, NOON))
    const [address] = first.addresses.map(prefixAddress)
    assert.is(ask('twin.acme-inc.nexodus', 'A', of), `NOERROR ${address}`)
  }
})

const reverse = suite('reverse zones')
for (const [range, count, first, last] of [
  ['100.64.0.0/10', 64, '64.100.in-addr.arpa', '127.100.in-addr.arpa'],
  ['10.0.0.0/8', 1, '10.in-addr.arpa', '10.in-addr.arpa'],
  ['10.1.2.0/24', 1, '2.1.10.in-addr.arpa', '2.1.10.in-addr.arpa'],
  ['10.1.2.64/31', 2, '64.2.1.10.in-addr.arpa', '65.2.1.10.in-addr.arpa'],
  ['10.1.2.3/32', 1, '3.2.1.10.in-addr.arpa', '3.2.1.10.in-addr.arpa'],
  [
    'fd12:3456:789a::/48',
    1,
    'a.9.8.7.6.5.4.3.2.1.d.f.ip6.arpa',
    'a.9.8.7.6.5.4.3.2.1.d.f.ip6.arpa',
  ],
  ['fd10::/17', 8, '0.0.1.d.f.ip6.arpa', '7.0.1.d.f.ip6.arpa'],
] as const)
  reverse(`of ${range} are ${count}`, () => {
    const found = reverseZones(parsePrefix(range))
    assert.equal([found.length, found[0], found.at(-1)], [count, first, last])
  })
reverse('of what is mostly others’ are none', () => {
  for (const range of ['0.0.0.0/0', '0.0.0.0/1', '12.0.0.0/7', '::/0', 'fc00::/7', 'fd00::/15'])
    assert.equal(reverseZones(parsePrefix(range)), [], range)
})

rule.run()
reverse.run()
