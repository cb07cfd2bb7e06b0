import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parseAddressRange } from '../../../protocol/address-range.ts'
import { type CborMap, type CborValue, decodeCborMap, encodeCbor } from '../../../protocol/codec.ts'
import { openEnvelope } from '../../../protocol/envelope.ts'
import { POLICY_RULES } from '../../../protocol/limits.ts'
import { ALLOW_ALL, isUnderstood, policyOf, policyRules } from '../../../protocol/policy.ts'
import { encodePolicyRules, NO_RULES, type PolicyRules } from '../../../protocol/policy-rules.ts'
import { testOrganization } from '../../support/organization.ts'

const acme = testOrganization('acme')

const RULES: PolicyRules = {
  revision: 7,
  defaults: { inbound: 'deny', outbound: 'accept' },
  rules: [
    {
      securityGroup: 'db',
      direction: 'inbound',
      protocol: 'tcp',
      ports: { from: 5432, to: 5433 },
      ranges: ['100.64.0.1-100.64.0.9', 'fd00::/16', '10.0.0.1'].map(parseAddressRange),
      groups: ['web'],
      users: ['ada@example.org'],
      devices: ['laptop'],
    },
    {
      securityGroup: '*',
      direction: 'outbound',
      protocol: '',
      ranges: [],
      groups: [],
      users: [],
      devices: [],
    },
  ],
}

const rule = suite('policy version 1 in a manifest (SPEC §14)')

rule('is read as it was written', () => {
  const manifest = openEnvelope(acme.manifest({ policy: policyOf(RULES) }))
  assert.is(manifest.kind, 'manifest')
  assert.equal(manifest.kind === 'manifest' && policyRules(manifest.body.policy), RULES)
})

rule('version 0 stays what it was: empty, and everything passes', () => {
  const manifest = openEnvelope(acme.manifest({ policy: ALLOW_ALL }))
  assert.equal(manifest.kind === 'manifest' && policyRules(manifest.body.policy), NO_RULES)
})

type Change = readonly [string, (body: CborMap, first: CborMap) => void]
const UNKNOWN: readonly Change[] = [
  ['a field of a later version', (body) => body.set(5, 'x')],
  ['a field of a later version in a rule', (_body, first) => first.set(10, 'x')],
  ['a protocol of a later version', (_body, first) => first.set(3, 8)],
  ['a direction of a later version', (_body, first) => first.set(2, 2)],
  ['a default of a later version', (body) => body.set(2, 2)],
  ['no default', (body) => body.delete(3)],
  ['no revision', (body) => body.delete(1)],
  ['revision 0, which is that of version 0', (body) => body.set(1, 0)],
  ['rules that are no list', (body) => body.set(4, 1)],
  ['a rule that is no map', (body) => body.set(4, [1])],
  ['ports that end before they begin', (_body, first) => first.set(5, 5431)],
  ['port 0', (_body, first) => first.set(4, 0)],
  ['a port without the other', (_body, first) => first.delete(5)],
  ['a range that is none', (_body, first) => first.set(6, ['10.0.0.0/33'])],
  ['a range with host bits set', (_body, first) => first.set(6, ['10.0.0.1/8'])],
  ['a range in another form than its only one', (_body, first) => first.set(6, ['10.0.0.1/32'])],
  ['a range that is no text', (_body, first) => first.set(6, [1])],
  ['control characters in a name', (_body, first) => first.set(7, ['a\nb'])],
  ['more ranges than the limit', (_body, first) => first.set(6, Array(65).fill('10.0.0.1'))],
  ['more groups than the limit', (_body, first) => first.set(7, Array(65).fill('web'))],
  ['more rules than the limit', (body, first) => body.set(4, Array(257).fill(first))],
]
for (const [what, change] of UNKNOWN) {
  rule(`is not understood with ${what}`, () => {
    const body = decodeCborMap(encodeCbor(encodePolicyRules(RULES)), 'policy')
    const rules = body.get(4)
    const first: CborValue | undefined = Array.isArray(rules) ? rules[0] : undefined
    assert.instance(first, Map)
    if (first instanceof Map) change(body, first)
    assert.is(isUnderstood({ version: 1, body }), false)
    assert.is(openEnvelope(acme.manifest({ policy: { version: 1, body } })).kind, 'manifest')
  })
}

rule('a later version is not understood, whatever is in it', () => {
  assert.is(isUnderstood({ version: 2, body: encodePolicyRules(RULES) }), false)
})

rule('refuses to write more than a manifest holds', () => {
  const [first] = RULES.rules
  assert.ok(first)
  const many = (count: number, ranges: number): PolicyRules => ({
    ...RULES,
    rules: Array.from({ length: count }, () => ({
      ...first,
      ranges: Array.from({ length: ranges }, (_, index) => parseAddressRange(`10.0.0.${index}`)),
    })),
  })
  assert.throws(() => encodePolicyRules(many(POLICY_RULES + 1, 0)), /257 rules, want at most 256/)
  assert.throws(() => encodePolicyRules(many(100, 64)), /bytes in a manifest, want at most 20480/)
  encodePolicyRules(many(100, 8))
})

rule.run()
