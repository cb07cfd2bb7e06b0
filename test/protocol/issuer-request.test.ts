import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { signingKeyPairFromSeed } from '../../crypto/signing.ts'
import { parsePrefix } from '../../protocol/address.ts'
import { openEnvelope } from '../../protocol/envelope.ts'
import { MalformedError } from '../../protocol/errors.ts'
import {
  encodeIssuerRequest,
  type IssuerRequest,
  parseIssuerRequest,
  signIssuerRequest,
} from '../../protocol/issuer-request.ts'
import { seconds } from '../../protocol/time.ts'
import { NOON, testOrganization } from '../support/organization.ts'

const acme = testOrganization('acme')
const [boss, laptop] = [acme.device('boss'), acme.device('laptop')]
const rule = suite('issuer request (SPEC §4.4)')
const DAY = 86_400

const REQUEST: IssuerRequest = {
  ...{ organization: acme.id, name: 'Acme: the works', purpose: 'renewal' },
  key: acme.issuer.publicKey,
  ranges: ['100.64.0.0/10', 'fd00:1::/48'].map(parsePrefix),
  longestMembership: seconds(7 * DAY),
  notBefore: seconds(NOON - 3600),
  notAfter: seconds(NOON + 88 * DAY),
  lock: {
    since: seconds(NOON - 60),
    approvers: [boss, laptop].map(({ id, name }) => ({ device: id, name })),
  },
}
const TEXT = encodeIssuerRequest(REQUEST)

const problemOf = (work: () => unknown): string => {
  try {
    work()
    return 'none'
  } catch (error) {
    assert.instance(error, MalformedError)
    return error instanceof Error ? error.message : ''
  }
}
const signed = (change: Partial<IssuerRequest>): string =>
  problemOf(() => signIssuerRequest({ ...REQUEST, ...change }, acme.root, NOON))

rule('reads as it was written, with a lock and without', () => {
  assert.equal(parseIssuerRequest(TEXT), REQUEST)
  const { lock: _, ...plain } = REQUEST
  assert.equal(parseIssuerRequest(encodeIssuerRequest(plain)), plain)
})

rule('is a text that people read: one line a field', () => {
  assert.equal(TEXT.split('\n').slice(0, 9), [
    'nexodus issuer request 1',
    `organization: ${acme.id}`,
    'name: Acme: the works',
    'purpose: renewal',
    `issuer: ${openIssuer()}`,
    'ranges: 100.64.0.0/10 fd00:1::/48',
    'longest membership: 604800 s',
    'not before: 2026-01-01T11:00:00Z',
    'not after: 2026-03-30T12:00:00Z',
  ])
})
const openIssuer = (): string => openEnvelope(acme.manifest()).signer

rule('what is signed is what was asked', () => {
  const envelope = openEnvelope(signIssuerRequest(REQUEST, acme.root, NOON))
  assert.ok(envelope.kind === 'issuer-certificate')
  const { name: _, organization: __, purpose: ___, lock, ...rest } = REQUEST
  assert.equal(envelope.body, {
    ...rest,
    lock: { since: lock?.since, approvers: [boss.key.publicKey, laptop.key.publicKey] },
  })
})

for (const [what, from, to] of [
  ['a line more', 'purpose: renewal', 'purpose: renewal\nowner: evil'],
  ['a line at the end', 'laptop\n', 'laptop\nranges: 0.0.0.0/0\n'],
  ['a line twice', 'purpose: renewal', 'purpose: renewal\npurpose: renewal'],
  ['a line missing', 'purpose: renewal\n', ''],
  ['another title', 'request 1', 'request 2'],
  ['an unknown purpose', 'purpose: renewal', 'purpose: theft'],
  ['spaces', 'purpose: renewal', 'purpose:  renewal'],
  ['a range with host bits', '100.64.0.0/10', '100.64.0.1/10'],
  ['a range that is none', '100.64.0.0/10', 'everything'],
  ['a duration in days', '604800 s', '7 d'],
  ['a longer duration than there is', '604800 s', '99999999999 s'],
  ['a moment in local time', '2026-01-01T11:00:00Z', '2026-01-01T11:00:00'],
  ['a moment that is none', '2026-01-01T11:00:00Z', '2026-13-01T11:00:00Z'],
  ['a key of small order', `issuer: ${openIssuer()}`, `issuer: ${'a'.repeat(52)}`],
  ['a key that is none', `issuer: ${openIssuer()}`, 'issuer: !'],
  ['an organization that is none', acme.id, 'acme'],
  ['an approver that is none', boss.id, 'boss'],
  ['more than a request holds', 'laptop\n', `${'x'.repeat(9000)}\n`],
] as const) {
  rule(`refuses a text with ${what}`, () => {
    assert.ok(TEXT.includes(from), 'the change is one')
    assert.is.not(
      problemOf(() => parseIssuerRequest(TEXT.replace(from, to))),
      'none',
    )
  })
}

for (const [what, change, message] of [
  [
    'a range of the internet',
    { ranges: [parsePrefix('0.0.0.0/0')] },
    /0\.0\.0\.0\/0 is not private/,
  ],
  ['a public IPv6 range', { ranges: [parsePrefix('2001:db8::/32')] }, /is not private/],
  ['17 ranges', { ranges: Array(17).fill(parsePrefix('10.0.0.0/8')) }, /17 ranges, at most 16/],
  ['91 days', { notAfter: seconds(NOON - 3600 + 91 * DAY) }, /want 1 to 7776000 s/],
  ['an end before its beginning', { notAfter: seconds(NOON - 7200) }, /it lasts -3600 s/],
  ['memberships of 31 days', { longestMembership: seconds(31 * DAY) }, /longest membership/],
  ['memberships of no time', { longestMembership: seconds(0) }, /longest membership/],
  ['a beginning to come', { notBefore: seconds(NOON + 400) }, /begins later/],
  ['an end that is over', { notBefore: seconds(NOON - DAY), notAfter: seconds(NOON - 1) }, /ended/],
  ['no approver', { lock: { since: NOON, approvers: [] } }, /0 approvers/],
  [
    'an approver twice',
    { lock: { since: NOON, approvers: Array(2).fill({ device: boss.id, name: 'boss' }) } },
    /named twice/,
  ],
  [
    'a lock to come',
    { lock: { since: seconds(NOON + 400), approvers: [{ device: boss.id, name: 'boss' }] } },
    /lock begins later/,
  ],
] as const) {
  rule(`signs no request for ${what}, and says why`, () => assert.match(signed(change), message))
}

rule('the root of another organization signs nothing', () => {
  const other = signingKeyPairFromSeed<'root'>(new Uint8Array(32).fill(3))
  assert.match(
    problemOf(() => signIssuerRequest(REQUEST, other, NOON)),
    /is of organization .*, the key is the root of/,
  )
})

rule.run()
