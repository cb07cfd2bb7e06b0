import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { randomBytes } from '../../../crypto/random.ts'
import { encodeStun, parseStun } from '../../../protocol/stun.ts'
import { checkKey, checkUsername } from '../../../protocol/stun-credentials.ts'
import { AT_ANA, AT_BO, member, members, requestOf, SERVER } from './check-members.ts'

const rule = suite('checks (SPEC §10)')

rule(
  'answers a member’s request, and the answer proves the path and tells the mapped address',
  () => {
    const [ana, bo] = members()
    const received = bo.checks.receive(requestOf(ana, bo), AT_ANA, 10)
    assert.ok(received.kind === 'request')
    assert.is(received.device, ana.device)
    assert.equal(ana.checks.receive(received.answer, AT_BO, 40), {
      kind: 'answer',
      device: bo.device,
      path: AT_BO,
      roundTripMs: 40,
      mapped: AT_ANA,
      receivedBytes: 4096,
    })
  },
)

rule(
  'tells by an answer how much of the asker’s WireGuard came, to nobody else and not by the relay',
  () => {
    const [ana, bo] = members()
    const direct = bo.checks.receive(requestOf(ana, bo), AT_ANA, 10)
    const relayed = bo.checks.receive(requestOf(ana, bo, 'relay'), 'relay', 10)
    const unknown = ana.checks.receive(requestOf(bo, ana, AT_ANA), AT_BO, 10)
    assert.ok(direct.kind === 'request' && relayed.kind === 'request' && unknown.kind === 'request')
    assert.equal(
      [direct, relayed, unknown].map(({ answer }) => parseStun(answer).receivedBytes),
      [4096, undefined, undefined],
    )
  },
)
rule('tells what a server sees, and what a member sees that is asked as one', () => {
  const [ana, bo] = members()
  const asked = ana.checks.ask(SERVER, 5)
  const { transactionId } = parseStun(asked)
  const answer = encodeStun({ kind: 'success', transactionId, mappedAddress: AT_ANA })
  const seen = { kind: 'mapped', mapped: AT_ANA, roundTripMs: 20 } as const
  assert.equal(ana.checks.receive(answer, SERVER, 25), {
    ...seen,
    ...{ server: SERVER, device: undefined },
  })
  const request = ana.checks.askMember(bo.device, AT_BO, 5)
  assert.ok(request)
  const received = bo.checks.receive(request, AT_ANA, 10)
  assert.ok(received.kind === 'request')
  assert.equal(ana.checks.receive(received.answer, AT_BO, 25), {
    ...seen,
    ...{ server: AT_BO, device: bo.device },
  })
  assert.is(ana.checks.askMember(member().device, AT_BO, 5), undefined)
})

rule('knows its own request that came back, once, and no other', () => {
  const [ana] = members()
  const request = ana.checks.hairpin(AT_ANA, 0)
  const { transactionId } = parseStun(request)
  const named = { kind: 'request' as const, transactionId, username: 'x' }
  assert.is(ana.checks.receive(encodeStun(named), AT_BO, 1).kind, 'dropped')
  const signed = encodeStun({ kind: 'request', transactionId }, randomBytes(32))
  assert.is(ana.checks.receive(signed, AT_BO, 1).kind, 'dropped')
  const answer = encodeStun({ kind: 'success', transactionId, mappedAddress: AT_ANA })
  assert.is(ana.checks.receive(answer, AT_BO, 1).kind, 'dropped')
  const again = ana.checks.hairpin(AT_ANA, 2)
  assert.equal(ana.checks.receive(again, AT_BO, 3), { kind: 'hairpinned', mapped: AT_ANA })
  assert.is(ana.checks.receive(again, AT_BO, 4).kind, 'dropped')
  const asked = ana.checks.ask(SERVER, 5)
  assert.is(ana.checks.receive(asked, AT_BO, 6).kind, 'dropped')
})

rule('drops a check that wants its answer elsewhere (SPEC §10.6)', () => {
  const [ana, bo] = members()
  const key = checkKey(ana.wireguardKey, bo.wireguardKey.publicKey)
  const username = checkUsername(bo.device, ana.device)
  const transactionId = randomBytes(12)
  const request = encodeStun({ kind: 'request', transactionId, username, responsePort: 4000 }, key)
  const received = bo.checks.receive(request, AT_ANA, 0)
  assert.is(received.kind === 'dropped' && received.reason, 'refused')
})

rule('pads a probe to the bytes asked for, and never its answer (SPEC §10.7)', () => {
  const [ana, bo] = members()
  for (const bytes of [0, 128, 1452, 9216]) {
    const probe = ana.checks.request(bo.device, AT_BO, 0, bytes)
    assert.ok(probe)
    if (bytes > 0) assert.is(probe.length, bytes)
    const received = bo.checks.receive(probe, AT_ANA, 10)
    assert.ok(received.kind === 'request')
    assert.ok(received.answer.length < 128, `${received.answer.length}`)
    const answered = ana.checks.receive(received.answer, AT_BO, 40)
    assert.ok(answered.kind === 'answer')
    assert.is(answered.probed, bytes)
  }
})

rule('carries no address in an answer that goes by the relay', () => {
  const [ana, bo] = members()
  const received = bo.checks.receive(requestOf(ana, bo, 'relay'), 'relay', 10)
  assert.ok(received.kind === 'request')
  assert.is(parseStun(received.answer).mappedAddress, undefined)
  assert.is(ana.checks.receive(received.answer, 'relay', 80).kind, 'answer')
})

rule('counts an answer once', () => {
  const [ana, bo] = members()
  const received = bo.checks.receive(requestOf(ana, bo), AT_ANA, 10)
  assert.ok(received.kind === 'request')
  ana.checks.receive(received.answer, AT_BO, 40)
  assert.equal(ana.checks.receive(received.answer, AT_BO, 41), {
    kind: 'dropped',
    reason: 'not-asked',
  })
})

rule('drops an answer from elsewhere than the request went (RFC 8445 §7.2.5.2.1)', () => {
  const [ana, bo] = members()
  const received = bo.checks.receive(requestOf(ana, bo), AT_ANA, 10)
  assert.ok(received.kind === 'request')
  for (const from of [AT_ANA, 'relay' as const]) {
    assert.equal(ana.checks.receive(received.answer, from, 40), {
      kind: 'dropped',
      reason: 'not-asked',
    })
  }
})

rule('drops an answer after five seconds', () => {
  const [ana, bo] = members()
  const received = bo.checks.receive(requestOf(ana, bo), AT_ANA, 10)
  assert.ok(received.kind === 'request')
  requestOf(ana, bo, AT_BO, 5001)
  assert.is(ana.checks.receive(received.answer, AT_BO, 5002).kind, 'dropped')
})

rule('drops a request for another, of a stranger, with another’s key, or without a name', () => {
  const [ana, bo, cy] = members()
  const stranger = member()
  const transactionId = randomBytes(12)
  const key = checkKey(ana.wireguardKey, bo.wireguardKey.publicKey)
  const forged = (username: string | undefined, with_: Uint8Array | undefined) =>
    encodeStun({ kind: 'request', transactionId, ...(username && { username }) }, with_)
  const cases: [Uint8Array, string][] = [
    [requestOf(ana, cy), 'unknown-user'],
    [forged(checkUsername(bo.device, stranger.device), key), 'unknown-user'],
    [forged(checkUsername(bo.device, cy.device), key), 'not-authentic'],
    [forged(checkUsername(bo.device, ana.device), undefined), 'not-authentic'],
    [forged(undefined, key), 'malformed'],
    [new Uint8Array(3), 'malformed'],
    [encodeStun({ kind: 'indication', transactionId }), 'refused'],
  ]
  for (const [datagram, reason] of cases) {
    const received = bo.checks.receive(datagram, AT_ANA, 0)
    assert.is(received.kind === 'dropped' && received.reason, reason)
  }
})

rule('drops an answer with any bit changed', () => {
  const [ana, bo] = members()
  const received = bo.checks.receive(requestOf(ana, bo), AT_ANA, 10)
  assert.ok(received.kind === 'request')
  for (let byte = 0; byte < received.answer.length; byte++) {
    const changed = Uint8Array.from(received.answer)
    changed[byte] = (changed[byte] ?? 0) ^ 1
    assert.is(ana.checks.receive(changed, AT_BO, 40).kind, 'dropped', `byte ${byte}`)
  }
  assert.is(ana.checks.receive(received.answer, AT_BO, 40).kind, 'answer')
})

rule('forgets a member that is none any more, also where a request was under way', () => {
  const [ana, bo] = members()
  const received = bo.checks.receive(requestOf(ana, bo), AT_ANA, 10)
  const late = requestOf(ana, bo)
  assert.ok(received.kind === 'request')
  ana.checks.setPeers(new Map())
  bo.checks.setPeers(new Map())
  assert.is(ana.checks.request(bo.device, AT_BO, 0), undefined)
  assert.is(ana.checks.receive(received.answer, AT_BO, 40).kind, 'dropped')
  assert.equal(bo.checks.receive(late, AT_ANA, 40), { kind: 'dropped', reason: 'unknown-user' })
})

rule('asks a STUN server without credentials, and believes its answer from there alone', () => {
  const [ana] = members()
  const request = ana.checks.ask(SERVER, 0)
  const { transactionId, username, hasIntegrity } = parseStun(request)
  assert.equal([username, hasIntegrity], [undefined, false])
  const answer = encodeStun({ kind: 'success', transactionId, mappedAddress: AT_ANA })
  assert.is(ana.checks.receive(answer, AT_BO, 20).kind, 'dropped')
  assert.equal(ana.checks.receive(answer, SERVER, 20), {
    kind: 'mapped',
    server: SERVER,
    device: undefined,
    mapped: AT_ANA,
    roundTripMs: 20,
  })
})

rule('looks at 2,000 signatures a second at most', () => {
  const [ana, bo, cy] = members()
  const key = checkKey(ana.wireguardKey, cy.wireguardKey.publicKey)
  const forged = encodeStun(
    {
      kind: 'request',
      transactionId: randomBytes(12),
      username: checkUsername(bo.device, ana.device),
    },
    key,
  )
  const reasons = Array.from({ length: 2100 }, () => bo.checks.receive(forged, AT_ANA, 0))
  const tooMany = reasons.filter((one) => one.kind === 'dropped' && one.reason === 'too-many')
  assert.is(tooMany.length, 100)
  assert.is(bo.checks.receive(requestOf(ana, bo), AT_ANA, 1000).kind, 'request')
})

rule.run()
