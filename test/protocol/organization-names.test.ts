import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { toHex } from '../../crypto/bytes.ts'
import { type CborValue, encodeCbor } from '../../protocol/codec.ts'
import {
  organizationDomain,
  organizationLabel,
  parseDomainName,
} from '../../protocol/domain-name.ts'
import { openEnvelope } from '../../protocol/envelope.ts'
import { parseOrganizationId } from '../../protocol/keys.ts'
import { DOMAIN_CHARACTERS, FORWARDS, NAME_RECORDS } from '../../protocol/limits.ts'
import type { Manifest } from '../../protocol/manifest.ts'
import {
  encodeOrganizationNames,
  extraRecord,
  forward,
  NO_NAMES,
  type OrganizationNames,
  parseOrganizationNames,
} from '../../protocol/organization-names.ts'
import { testOrganization } from '../support/organization.ts'

const acme = testOrganization('acme')
const ID = acme.id

const label = suite("an organization's label (SPEC §13.1)")

for (const [name, wanted] of [
  ['acme', 'acme'],
  ['Acme, Inc.', 'acme-inc'],
  ['  Ünïcode  GmbH ', 'unicode-gmbh'],
  ['ｆｕｌｌ width', 'full-width'],
  ['xn--acme', 'xn-acme'],
  ['a.b_c', 'a-b-c'],
  [`${'a'.repeat(62)} b`, 'a'.repeat(62)],
  ['日本', ID],
  ['', ID],
  ['---', ID],
  // Shaped as an id: somebody else's.
  ['abcdefghijklmnopqrstuvwxyz', ID],
] as const)
  label(`of "${name}" is ${wanted}`, () => assert.is(organizationLabel(name, ID), wanted))

label('is one DNS label, whatever the name', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.nat(0xffff).map((code) => String.fromCharCode(code)), maxLength: 128 }),
      (name) => {
        const found = organizationLabel(name, ID)
        assert.match(found, /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/)
        assert.not.match(found, /--/)
      },
    ),
  )
})

label('of two organizations of one host is the one’s that was first, and the other is told', () => {
  const [first, second] = ['a', 'b'].map((letter) => ({
    id: parseOrganizationId(`${letter.repeat(25)}a`),
    name: letter === 'a' ? 'Acme' : 'ACME!',
  }))
  assert.ok(first !== undefined && second !== undefined)
  assert.equal(organizationDomain(first), { domain: 'acme.nexodus' })
  for (const [later, before] of [
    [second, first],
    [first, second],
  ] as const)
    assert.equal(organizationDomain(later, [before]), {
      domain: `${later.id}.nexodus`,
      takenBy: before.id,
    })
  assert.equal(organizationDomain(second, [{ ...first, name: 'other' }]), {
    domain: 'acme.nexodus',
  })
})

const domain = suite('a domain name (SPEC §13)')

domain('is lower case, of labels, and not too long', () => {
  for (const name of ['a', 'corp.example', '_srv.a-b.c', `${'a'.repeat(63)}.b`])
    assert.is(parseDomainName(name, 'x'), name)
  const long = Array.from({ length: 5 }, () => 'a'.repeat(60)).join('.')
  assert.ok(long.length > DOMAIN_CHARACTERS)
  for (const name of [
    '',
    '.',
    'a.',
    '.a',
    'a..b',
    'A',
    '-a',
    'a-',
    'a b',
    'ä',
    'a\n',
    `${'a'.repeat(64)}`,
    long,
    '*.a',
  ])
    assert.throws(() => parseDomainName(name, 'x'), /no domain name/)
})

const claim = suite('names of the manifest (SPEC §13.3, §13.4)')
const PINNED =
  '828483006264626931302e39392e302e3183006067666430303a3a378301687777772e73686f706264628302625f7664613dc3bc81826c636f72702e6578616d706c65826c31302e302e302e35333a35336f5b666430303a3a35335d3a35333533'
const NAMES: OrganizationNames = {
  records: [
    extraRecord('address', 'db', '10.99.0.1'),
    extraRecord('address', '', 'fd00::7'),
    extraRecord('alias', 'www.shop', 'db'),
    extraRecord('text', '_v', 'a=ü'),
  ],
  forwards: [forward('corp.example', ['10.0.0.53:53', '[fd00::53]:5353'])],
}

claim('come back as they were encoded', () => {
  assert.equal(parseOrganizationNames(encodeOrganizationNames(NAMES)), NAMES)
  const manifest = openEnvelope(acme.manifest({ names: NAMES })).body as Manifest
  assert.equal(manifest.names, NAMES)
})

claim('are these bytes, for ever', () => {
  const bytes = encodeCbor(encodeOrganizationNames(NAMES))
  assert.is(toHex(bytes), PINNED)
})

claim('are none where the claim is absent, as in manifests of before', () => {
  const bytes = acme.manifest()
  assert.equal((openEnvelope(bytes).body as Manifest).names, NO_NAMES)
  assert.equal(acme.manifest({ names: NO_NAMES }), bytes)
})

claim('of later kinds, and what follows, are ignored', () => {
  const later: CborValue = [
    [
      [9, 'x', 'y'],
      [0, 'db', '10.0.0.1', 7],
    ],
    [],
    'more',
  ]
  assert.equal(parseOrganizationNames(later).records, [extraRecord('address', 'db', '10.0.0.1')])
})

const refused: Record<string, [CborValue, RegExp]> = {
  'no list': [7, /want \[records, forwards\]/],
  'one item': [[[]], /want \[records, forwards\]/],
  'a record that is no list': [[[7], []], /want \[kind, name, value\]/],
  'a name with capitals': [[[[0, 'Db', '10.0.0.1']], []], /"Db" is no domain name/],
  'a name that is a wildcard': [[[[0, '*', '10.0.0.1']], []], /no domain name/],
  'an address that is none': [[[[0, 'db', 'ten']], []], /IP address "ten"/],
  'an address not in its canonical form': [[[[0, 'db', 'FD00::1']], []], /want "fd00::1"/],
  'an alias of the domain itself': [[[[1, '', 'db']], []], /no domain name/],
  'a text too long in bytes': [
    [[[2, 't', 'ü'.repeat(128)]], []],
    /has 256 bytes, want at most 255/,
  ],
  'a text with control characters': [[[[2, 't', 'a\u0007']], []], /control characters/],
  'too many records': [
    [Array.from({ length: NAME_RECORDS + 1 }, () => [2, 't', '']), []],
    /257 items, want at most 256/,
  ],
  'too many forwards': [
    [[], Array.from({ length: FORWARDS + 1 }, () => ['a.b', ['10.0.0.1:53']])],
    /17 items, want at most 16/,
  ],
  'a forward of a public top domain': [[[], [['com', ['10.0.0.1:53']]]], /two labels at least/],
  'a forward of everything': [[[], [['', ['10.0.0.1:53']]]], /no domain name/],
  'a forward of our own domain': [[[], [['x.nexodus', ['10.0.0.1:53']]]], /is in nexodus/],
  'a forward to nobody': [[[], [['a.b', []]]], /0 resolvers, want 1 to 4/],
  'a forward to five': [[[], [['a.b', Array.from({ length: 5 }, () => '10.0.0.1:53')]]], /5 items/],
  'a resolver without a port': [[[], [['a.b', ['10.0.0.1']]]], /want address:port/],
  'a resolver by name': [[[], [['a.b', ['dns.example:53']]]], /IP address "dns.example"/],
}
for (const [what, [value, says]] of Object.entries(refused))
  claim(`are refused with ${what}`, () => assert.throws(() => parseOrganizationNames(value), says))

claim('fit beside a manifest’s other lists, all of them full', () => {
  const records = Array.from({ length: NAME_RECORDS }, (_, index) =>
    extraRecord('address', `service-${index}.department`, `10.99.${index}.1`),
  )
  const forwards = Array.from({ length: FORWARDS }, (_, index) =>
    forward(`site-${index}.corp.example`, ['10.0.0.53:53', '[fd00::53]:53']),
  )
  const revocations = new Map(
    Array.from({ length: 2000 }, (_, index) => [index.toString(16).padStart(16, '0'), acme.now]),
  )
  openEnvelope(acme.manifest({ names: { records, forwards }, revocations }))
})

label.run()
domain.run()
claim.run()
