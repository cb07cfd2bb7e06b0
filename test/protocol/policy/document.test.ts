import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { formatAddressRange, parseAddressRange } from '../../../protocol/address-range.ts'
import { type PolicyDocument, parsePolicyDocument } from '../../../protocol/policy-document.ts'
import { type PolicyRule, RULE_PROTOCOLS, VERDICTS } from '../../../protocol/policy-rules.ts'
import { formatPolicyDocument } from '../../../protocol/policy-text.ts'

const rule = suite('policy document (SPEC §14.5)')

const EXAMPLE = `
# who may do what
version: 1
default: {inbound: deny, outbound: accept}
security_groups:
  "*":
    inbound_rules:
      - {ip_protocol: icmp, description: everybody may ping}
  db:
    description: databases
    inbound_rules:
      - ip_protocol: tcp
        from_port: 5432
        to_port: 5433
        ip_ranges: ["100.64.0.0/10", "100.64.0.1-100.64.0.9", "200::/64"]
        groups: [web]
        users: [ada@example.org]
        devices: [laptop]
    outbound_rules:
tests:
  - laptop -> db:5432 tcp: accept
  - "phone -> db:22: deny"
`

rule('reads upstream’s grammar, security group by security group', () => {
  const { rules, tests } = parsePolicyDocument(EXAMPLE)
  assert.equal(rules.defaults, { inbound: 'deny', outbound: 'accept' })
  assert.equal(
    rules.rules.map(({ ranges, ...each }) => ({ ...each, ranges: ranges.map(formatAddressRange) })),
    [
      {
        ...{ securityGroup: '*', direction: 'inbound', protocol: 'icmp' },
        ...{ groups: [], users: [], devices: [], ranges: [] },
      },
      {
        ...{ securityGroup: 'db', direction: 'inbound', protocol: 'tcp' },
        ports: { from: 5432, to: 5433 },
        ...{ groups: ['web'], users: ['ada@example.org'], devices: ['laptop'] },
        ranges: ['100.64.0.0/10', '100.64.0.1-100.64.0.9', '200::/64'],
      },
    ],
  )
  assert.equal(tests, [
    { from: 'laptop', to: 'db', protocol: 'tcp', port: 5432, expect: 'accept' },
    { from: 'phone', to: 'db', protocol: 'tcp', port: 22, expect: 'deny' },
  ])
})

rule('reads JSON, and a policy with nothing in it: everything passes', () => {
  const nothing = parsePolicyDocument('{"version": 1}')
  assert.equal(nothing.rules, { defaults: { inbound: 'accept', outbound: 'accept' }, rules: [] })
})

rule('an empty text among the ranges is any, as upstream has it, and empty lists are', () => {
  const of = (list: string) =>
    parsePolicyDocument(
      `{"version":1,"security_groups":{"a":{"inbound_rules":[{"ip_ranges":${list}}]}}}`,
    ).rules.rules[0]?.ranges
  assert.equal([of('[""]'), of('[]'), of('null')], [[], [], []])
  assert.throws(() => of('["", "10.0.0.0/8"]'), /ip_ranges\[0\]: malformed IP address ""/)
})

const inRule = (text: string): string =>
  `version: 1\nsecurity_groups:\n  db:\n    inbound_rules:\n      - {}\n      - ${text}\n`
const REFUSED: readonly (readonly [string, string, RegExp])[] = [
  ['no version', 'default: accept', /line 1: version/],
  ['another version', 'version: 2', /line 1: version/],
  ['nothing', '', /line 1: policy/],
  ['a list', '- 1', /line 1: policy/],
  ['broken YAML', 'version: 1\nsecurity_groups: [', /line \d: /],
  ['a key twice', 'version: 1\nversion: 1', /line 2: Map keys must be unique/],
  ['an alias', 'version: 1\nsecurity_groups: {a: &x {}, b: *x}', /alias/],
  ['an unknown field', 'version: 1\ngroups: {}', /line 1: policy: Unrecognized key: "groups"/],
  ['another default', 'version: 1\ndefault: drop', /line 2: default: want accept, deny/],
  ['an unknown field of a rule', inRule('{port: 22}'), /line 6: .*Unrecognized key: "port"/],
  [
    'from_port over to_port',
    inRule('{ip_protocol: tcp, from_port: 80, to_port: 22}'),
    /line 6: security_groups\.db\.inbound_rules\[1\]\.from_port: is 80, want at most to_port, 22/,
  ],
  ['from_port 0 with to_port', inRule('{ip_protocol: tcp, to_port: 22}'), /is 0, want 1 to 22/],
  [
    'from_port without to_port',
    inRule('{ip_protocol: tcp, from_port: 22}'),
    /is 22, want at most to_port, 0/,
  ],
  ['a port over 65535', inRule('{from_port: 1, to_port: 65536}'), /line 6: .*to_port: .*65535/],
  [
    'a port that is text',
    inRule('{from_port: "22", to_port: 22}'),
    /from_port: Invalid input: expected number/,
  ],
  ['a bad protocol', inRule('{ip_protocol: sctp}'), /line 6: .*ip_protocol: Invalid option/],
  ['ICMP with ports', inRule('{ip_protocol: icmp, from_port: 1, to_port: 2}'), /icmp has no ports/],
  [
    'a bad IP range',
    inRule('{ip_ranges: [10.0.0.0/33]}'),
    /line 6: .*ip_ranges\[0\]: .*length must be 0 to 32/,
  ],
  [
    'a range of two families',
    inRule('{ip_ranges: ["10.0.0.1-fd00::1"]}'),
    /two addresses of one family/,
  ],
  ['host bits', inRule('{ip_ranges: [192.168.1.1/24]}'), /host bits set/],
  [
    'too many ranges',
    inRule(`{ip_ranges: [${Array(65).fill('10.0.0.1')}]}`),
    /line 6: .*<=64 items/,
  ],
  ['control characters', inRule('{groups: ["a\\u0007"]}'), /control characters/],
  [
    'a bad test',
    'version: 1\ntests:\n  - a -> b: accept\n  - a to b',
    /line 4: tests\[1\]: .*: accept/,
  ],
  ['a bad verdict', 'version: 1\ntests:\n  - a -> b:1 tcp: maybe', /line 3: tests\[0\]/],
  [
    'too long a text',
    `version: 1 #${'x'.repeat(131_072)}`,
    /131084 characters, want at most 131072/,
  ],
]
for (const [what, text, says] of REFUSED) {
  rule(`refuses ${what}`, () => assert.throws(() => parsePolicyDocument(text), says))
}

rule('tells several mistakes at once', () => {
  const two = `${inRule('{ip_protocol: sctp}')}      - {ip_ranges: [x]}\n`
  assert.throws(() => parsePolicyDocument(two), /line 6: .*; line 7: /)
})

const NAMES = fc.array(fc.constantFrom('web', 'a b', 'ada@x.org', '*', '7', 'null', 'yes: no'), {
  maxLength: 3,
})
const RULE: fc.Arbitrary<PolicyRule> = fc
  .record({
    securityGroup: fc.constantFrom('db', '*', 'true', 'x'),
    direction: fc.constantFrom('inbound', 'outbound'),
    protocol: fc.constantFrom(...RULE_PROTOCOLS),
    ports: fc.option(fc.tuple(fc.integer({ min: 1, max: 65_535 }), fc.nat(99))),
    ranges: fc
      .array(fc.constantFrom('10.0.0.0/8', 'fd00::1', '10.0.0.1-10.0.0.9'), { maxLength: 3 })
      .map((texts) => texts.map(parseAddressRange)),
    groups: NAMES,
    users: NAMES,
    devices: NAMES,
  })
  .map(({ ports, ...each }) => ({
    ...each,
    ...(ports === null || each.protocol.startsWith('icmp')
      ? {}
      : { ports: { from: ports[0], to: Math.min(65_535, ports[0] + ports[1]) } }),
  }))

rule('reads back what it exports', () => {
  const document: fc.Arbitrary<PolicyDocument> = fc.record({
    rules: fc.record({
      defaults: fc.record({
        inbound: fc.constantFrom(...VERDICTS),
        outbound: fc.constantFrom(...VERDICTS),
      }),
      rules: fc.array(RULE, { maxLength: 6 }),
    }),
    tests: fc.constant([{ from: 'a', to: 'fd00::1', protocol: 'tcp', port: 1, expect: 'deny' }]),
  })
  fc.assert(
    fc.property(document, (written) => {
      const again = parsePolicyDocument(formatPolicyDocument(written))
      const sorted = (each: PolicyDocument) =>
        each.rules.rules
          .map((one) => JSON.stringify({ ...one, ranges: one.ranges.map(formatAddressRange) }))
          .map((text) => JSON.stringify(Object.entries(JSON.parse(text)).sort()))
          .toSorted()
      assert.equal(sorted(again), sorted(written))
      assert.equal({ ...again.rules.defaults }, { ...written.rules.defaults })
      assert.equal(again.tests, written.tests)
    }),
  )
})

rule.run()
