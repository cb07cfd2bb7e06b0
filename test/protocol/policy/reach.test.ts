import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type AddressFamily, addressFamily, prefixAddress } from '../../../protocol/address.ts'
import { decide, PROTOCOL_NUMBERS } from '../../../protocol/policy-decision.ts'
import type { PolicyMember } from '../../../protocol/policy-holders.ts'
import { policyReach } from '../../../protocol/policy-reach.ts'
import type { PolicyRules } from '../../../protocol/policy-rules.ts'
import { OWN, PEERS, POLICY } from '../../support/policies.ts'

const rule = suite('policy reach')

const DENY: PolicyRules = {
  revision: 1,
  defaults: { inbound: 'deny', outbound: 'accept' },
  rules: [],
}
const [LAPTOP, PHONE] = [PEERS[0] as PolicyMember, PEERS[1] as PolicyMember]

/** Every port around the edges of the rules at random, and every protocol, one by one. */
function slowly(policy: PolicyRules, from: PolicyMember, to: PolicyMember): boolean {
  const { icmp, icmpv6, tcp, udp } = PROTOCOL_NUMBERS
  const ports = [1, 2, 21, 22, 23, 53, 54, 79, 80, 81, 442, 443, 444, 8079, 8080, 8081, 65_535]
  const traffics = ([4, 6] as const).flatMap((family) => [
    { family, protocol: family === 4 ? icmp : icmpv6 },
    { family, protocol: 132 },
    ...[tcp, udp].flatMap((protocol) => ports.map((port) => ({ family, protocol, port }))),
  ])
  return traffics.some((traffic) => {
    const [source, destination] = [from, to].map((each) => own(each, traffic.family))
    const out = decide(policy, 'outbound', from, { device: to, address: destination }, traffic)
    const into = decide(policy, 'inbound', to, { device: from, address: source }, traffic)
    return out.verdict === 'accept' && into.verdict === 'accept'
  })
}

function own({ prefixes }: PolicyMember, family: AddressFamily) {
  return prefixes.map(prefixAddress).find((address) => addressFamily(address) === family)
}

rule('of any policy says what trying port by port says', () => {
  fc.assert(
    fc.property(POLICY, fc.constantFrom(...PEERS), (policy, peer) => {
      assert.is(policyReach(policy, OWN, peer).anything, slowly(policy, OWN, peer))
      assert.is(policyReach(policy, peer, OWN).anything, slowly(policy, peer, OWN))
    }),
    { numRuns: 2000 },
  )
})

rule('tells which end denies', () => {
  const wanted = { ping: false, anything: false }
  assert.equal(policyReach(DENY, LAPTOP, PHONE), { ...wanted, leaves: true, enters: false })
  const other = { ...DENY, defaults: { inbound: 'accept', outbound: 'deny' } as const }
  assert.equal(policyReach(other, LAPTOP, PHONE), { ...wanted, leaves: false, enters: true })
})

rule('has nothing between devices without an address family in common', () => {
  const six = { ...PHONE, prefixes: PHONE.prefixes.filter((each) => each.includes(':')) }
  const four = { ...LAPTOP, prefixes: LAPTOP.prefixes.filter((each) => !each.includes(':')) }
  const open = { ...DENY, defaults: { inbound: 'accept', outbound: 'accept' } as const }
  assert.ok(policyReach(open, LAPTOP, six).ping)
  assert.not(policyReach(open, four, six).anything)
})

rule.run()
