import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parsePrefix } from '../../../protocol/address.ts'
import { parsePolicyDocument } from '../../../protocol/policy-document.ts'
import type { PolicyMember } from '../../../protocol/policy-holders.ts'
import {
  answerPolicyQuestion,
  formatPolicyQuestion,
  parsePolicyQuestion,
  parsePolicyTest,
} from '../../../protocol/policy-question.ts'

const rule = suite('policy question (SPEC §14.5)')

for (const [text, wanted] of [
  ['laptop -> db:5432 tcp', { from: 'laptop', to: 'db', protocol: 'tcp', port: 5432 }],
  ['laptop → db:5432', { from: 'laptop', to: 'db', protocol: 'tcp', port: 5432 }],
  ['laptop -> db:53 udp', { from: 'laptop', to: 'db', protocol: 'udp', port: 53 }],
  ['laptop -> db icmp', { from: 'laptop', to: 'db', protocol: 'icmp' }],
  ['laptop->db', { from: 'laptop', to: 'db', protocol: 'icmp' }],
  [
    'group:web -> group:db:5432',
    { from: 'group:web', to: 'group:db', protocol: 'tcp', port: 5432 },
  ],
  [
    'user:ada@x.org -> 10.1.2.3:22',
    { from: 'user:ada@x.org', to: '10.1.2.3', protocol: 'tcp', port: 22 },
  ],
  ['laptop -> [fd00::7]:22', { from: 'laptop', to: 'fd00::7', protocol: 'tcp', port: 22 }],
  ['laptop -> fd00::7', { from: 'laptop', to: 'fd00::7', protocol: 'icmp' }],
] as const) {
  rule(`reads ${text}`, () => {
    assert.equal(parsePolicyQuestion(text), wanted)
    assert.equal(parsePolicyQuestion(formatPolicyQuestion(wanted)), wanted)
  })
}

for (const [text, says] of [
  ['', /want "FROM -> TO:PORT tcp\|udp", or "FROM -> TO icmp"/],
  ['laptop db:5432', /want "FROM -> TO/],
  ['laptop -> db:5432 tcp now', /want "FROM -> TO/],
  ['laptop -> db:5432 sctp', /protocol is "sctp", want tcp, udp or icmp/],
  ['laptop -> db tcp', /tcp needs a port/],
  ['laptop -> db:22 icmp', /icmp has no ports/],
  ['laptop -> db:0', /port is 0, want 1 to 65535/],
  ['laptop -> db:65536', /port is 65536/],
] as const) {
  rule(`refuses "${text}"`, () => assert.throws(() => parsePolicyQuestion(text), says))
}

rule('a test says what must come of it', () => {
  assert.equal(parsePolicyTest('laptop -> db:5432 tcp: deny'), {
    ...{ from: 'laptop', to: 'db', protocol: 'tcp', port: 5432 },
    expect: 'deny',
  })
  for (const text of ['laptop -> db:5432 tcp', 'laptop -> db:5432: drop', ': accept', '']) {
    assert.throws(() => parsePolicyTest(text), /policy (test|question)/)
  }
})

const member = (
  name: string,
  groups: readonly string[],
  ...prefixes: readonly string[]
): PolicyMember => ({ name, owner: 'ada', groups, prefixes: prefixes.map(parsePrefix) })
const MEMBERS = [
  member('laptop', ['people'], '100.64.0.1', 'fd00::1'),
  member('db', ['storage'], '100.64.0.2', 'fd00::2', '10.1.0.0/16'),
  member('old', [], '100.64.0.3'),
  member('new', [], 'fd00::4'),
]
const { rules } = parsePolicyDocument(`
version: 1
default: {inbound: deny, outbound: accept}
security_groups:
  storage:
    inbound_rules:
      - {ip_protocol: tcp, from_port: 5432, to_port: 5432, groups: [people]}
      - {ip_protocol: icmp, ip_ranges: [100.64.0.0/10]}
  people:
    outbound_rules:
      - {ip_ranges: [100.64.0.0/10, 'fd00::/16'], from_port: 1, to_port: 9999}
      - {ip_protocol: icmp}
`)
const ask = (text: string) =>
  answerPolicyQuestion({ revision: 1, ...rules }, parsePolicyQuestion(text), MEMBERS)

rule('is answered for both ends and every family that they share, by rules', () => {
  assert.equal(ask('laptop -> db:5432'), [
    {
      family: 4,
      verdict: 'accept',
      outbound: { verdict: 'accept', rule: 3, by: 'rule' },
      inbound: { verdict: 'accept', rule: 1, by: 'rule' },
    },
    {
      family: 6,
      verdict: 'accept',
      outbound: { verdict: 'accept', rule: 3, by: 'rule' },
      inbound: { verdict: 'accept', rule: 1, by: 'rule' },
    },
  ])
  const verdicts = (text: string) => ask(text).map(({ verdict }) => verdict)
  assert.equal(verdicts('laptop -> db icmp'), ['accept', 'deny'])
  assert.equal(verdicts('laptop -> 10.1.2.3:5432'), ['deny'])
  assert.equal(verdicts('old -> db:5432'), ['deny'])
  assert.equal(verdicts('group:people -> db:5432'), ['accept', 'accept'])
  assert.equal(verdicts('user:ada -> db:5432'), ['deny', 'deny'])
  assert.equal(verdicts('db -> laptop:22'), ['deny', 'deny'])
})

rule('says whom it does not know', () => {
  assert.throws(() => ask('nobody -> db:1'), /no device "nobody"/)
  assert.throws(
    () => ask('laptop -> 10.9.9.9:1'),
    /no device of the organization holds 10\.9\.9\.9/,
  )
  assert.throws(() => ask('old -> new:1'), /no address family in common/)
})

rule.run()
