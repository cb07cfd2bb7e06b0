import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { randomBytes } from '../../../crypto/random.ts'
import { parseEndpoint } from '../../../protocol/address.ts'
import { encodeStun, parseStun } from '../../../protocol/stun.ts'
import { checkKey, checkUsername } from '../../../protocol/stun-credentials.ts'
import { AT_ANA, AT_BO, type Member, members, requestOf, SERVER } from './check-members.ts'

const rule = suite('hostile checks (SPEC §10.9)')

const AT_SIX = parseEndpoint('[2001:db8::1]:51820')
const HER_SIX = parseEndpoint('[2001:db8::2]:40001')

rule('never answers with more bytes than it was asked with, over IPv6 neither (SPEC §10.4)', () => {
  const [ana, bo] = members()
  for (const [to, from] of [
    [AT_BO, AT_ANA],
    [HER_SIX, AT_SIX],
    ['relay', 'relay'],
  ] as const) {
    const request = requestOf(ana, bo, to)
    const received = bo.checks.receive(request, from, 10)
    assert.ok(received.kind === 'request')
    assert.ok(
      received.answer.length <= request.length,
      `${received.answer.length} to ${request.length}`,
    )
    const isDirect = to !== 'relay'
    assert.is(parseStun(received.answer).receivedBytes, isDirect ? 4096 : undefined)
  }
})

rule('leaves out what makes an answer longer than a short check', () => {
  const [ana, bo] = members()
  const key = checkKey(ana.wireguardKey, bo.wireguardKey.publicKey)
  const username = checkUsername(bo.device, ana.device)
  const request = encodeStun({ kind: 'request', transactionId: randomBytes(12), username }, key)
  const received = bo.checks.receive(request, AT_SIX, 0)
  assert.ok(received.kind === 'request')
  assert.ok(received.answer.length <= request.length)
  assert.equal(parseStun(received.answer).mappedAddress, AT_SIX)
})

rule('asks a server with as many bytes as the longest answer has', () => {
  const [ana] = members()
  const request = ana.checks.ask(SERVER, 0)
  const { transactionId } = parseStun(request)
  const answer = encodeStun({ kind: 'success', transactionId, mappedAddress: AT_SIX })
  assert.ok(answer.length <= request.length, `${answer.length} to ${request.length}`)
})

rule('takes from a relay no check of another than the relay says', () => {
  const [ana, bo, cy] = members()
  const check = requestOf(ana, bo, 'relay')
  assert.equal(bo.checks.receive(check, 'relay', 0, cy.device), {
    kind: 'dropped',
    reason: 'unknown-user',
  })
  assert.is(bo.checks.receive(check, 'relay', 0, ana.device).kind, 'request')
})

/** In the name of the first member, with no key. */
function forgedOf(named: Member, to: Member): Uint8Array {
  const username = checkUsername(to.device, named.device)
  return encodeStun({ kind: 'request', transactionId: randomBytes(12), username }, randomBytes(32))
}

rule('strangers who forge do not keep a member that answered from being answered', () => {
  const [ana, bo] = members()
  const asked = ana.checks.receive(requestOf(bo, ana, AT_ANA), AT_BO, 0)
  assert.ok(asked.kind === 'request')
  assert.is(bo.checks.receive(asked.answer, AT_ANA, 1).kind, 'answer')
  const reasons = Array.from({ length: 5000 }, (_, index) => {
    const from = parseEndpoint(`198.18.${index >> 8}.${index & 255}:9`)
    const received = bo.checks.receive(forgedOf(ana, bo), from, 2)
    return received.kind === 'dropped' ? received.reason : received.kind
  })
  assert.is(reasons.filter((each) => each === 'not-authentic').length, 2000)
  assert.is(reasons.filter((each) => each === 'too-many').length, 3000)
  assert.is(bo.checks.receive(requestOf(ana, bo), AT_ANA, 3).kind, 'request')
  const own = bo.checks.request(ana.device, AT_ANA, 3)
  const answer = own && ana.checks.receive(own, AT_BO, 4)
  assert.ok(answer?.kind === 'request')
  assert.is(bo.checks.receive(answer.answer, AT_ANA, 5).kind, 'answer', 'nor from hearing answers')
})

rule('a member gets a hundred answers a second at one address, and is named for more', () => {
  const [ana, bo, cy] = members()
  const kinds = Array.from({ length: 300 }, () => bo.checks.receive(requestOf(ana, bo), AT_ANA, 0))
  assert.is(kinds.filter(({ kind }) => kind === 'request').length, 100)
  assert.equal(kinds.at(-1), { kind: 'dropped', reason: 'flood', device: ana.device })
  assert.is(bo.checks.receive(requestOf(cy, bo), AT_ANA, 0).kind, 'request', 'another is answered')
  assert.is(bo.checks.receive(requestOf(ana, bo), AT_BO, 0).kind, 'request', 'and she elsewhere')
  assert.is(bo.checks.receive(requestOf(ana, bo), AT_ANA, 1000).kind, 'request')
})

rule('a member that floods by relays keeps no other from being answered by one', () => {
  const [ana, bo, cy] = members()
  for (let n = 0; n < 5000; n++)
    bo.checks.receive(requestOf(ana, bo, 'relay'), `relay ${n % 3}`, 0, ana.device)
  assert.is(bo.checks.receive(requestOf(cy, bo, 'relay'), 'relay x', 0, cy.device).kind, 'request')
})

rule(
  'a member that checks from many sources, or is repeated from there, takes nothing from others',
  () => {
    const [ana, bo, cy] = members()
    const prove = (one: Member) => {
      const asked = one.checks.receive(requestOf(bo, one, AT_ANA), AT_BO, 0)
      assert.ok(asked.kind === 'request')
      assert.is(bo.checks.receive(asked.answer, AT_ANA, 1).kind, 'answer')
    }
    prove(ana)
    prove(cy)
    const repeated = requestOf(cy, bo)
    for (let n = 0; n < 6000; n++) {
      const from = parseEndpoint(`198.18.${n >> 8}.${n & 255}:9`)
      bo.checks.receive(n % 2 === 0 ? requestOf(cy, bo) : repeated, from, 2)
    }
    assert.is(bo.checks.receive(requestOf(ana, bo), AT_ANA, 3).kind, 'request')
    assert.is(bo.checks.receive(requestOf(cy, bo), AT_ANA, 3).kind, 'request', 'nor from itself')
  },
)

rule.run()
