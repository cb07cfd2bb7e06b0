import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { CheckRecord, NO_CHECKS } from '../../../agent/path/check-record.ts'
import { newChecks, type Received } from '../../../agent/path/checks.ts'
import { noPathFacts, pathFacts } from '../../../agent/path/path-evidence.ts'
import { initialState } from '../../../agent/path/path-state.ts'
import { randomBytes } from '../../../crypto/random.ts'
import { parseEndpoint } from '../../../protocol/address.ts'
import { testOrganization } from '../../support/organization.ts'

const acme = testOrganization('acme')
const [laptop, phone] = [acme.device('laptop'), acme.device('phone')]
const NEAR = parseEndpoint('192.0.2.1:51820')
const FAR = parseEndpoint('198.51.100.7:51820')
const STUN = parseEndpoint('203.0.113.9:3478')
const rule = suite('the check record')

const answer = (path: Extract<Received, { kind: 'answer' }>['path'], ms: number): Received => ({
  kind: 'answer',
  device: phone.id,
  path,
  roundTripMs: ms,
  mapped: undefined,
  receivedBytes: undefined,
})
const request: Received = { kind: 'request', device: phone.id, answer: new Uint8Array(0) }

/** Two sides whose checks reach each other by FAR (phone) and NEAR (laptop). */
function pair() {
  const side = (own: typeof laptop, other: typeof laptop) => {
    const record = new CheckRecord()
    const options = { device: own.id, wireguardKey: own.wireguard, random: randomBytes }
    const checks = record.watching(newChecks(options))
    checks.setPeers(new Map([[other.id, other.wireguard.publicKey]]))
    return { record, checks }
  }
  return { laptop: side(laptop, phone), phone: side(phone, laptop) }
}

rule('passes on a probe’s size, and what its answer proves', () => {
  const sides = pair()
  const probe = sides.laptop.checks.request(phone.id, FAR, 1000, 512)
  assert.is(probe?.length, 512)
  const received = sides.phone.checks.receive(probe ?? new Uint8Array(0), NEAR, 1020)
  assert.ok(received.kind === 'request')
  const answer = sides.laptop.checks.receive(received.answer, FAR, 1040)
  assert.is(answer.kind === 'answer' ? answer.probed : undefined, 512)
})

rule('counts what real checks sent, answered and received, by endpoint', () => {
  const sides = pair()
  const check = sides.laptop.checks.request(phone.id, FAR, 1000)
  assert.ok(check !== undefined)
  const received = sides.phone.checks.receive(check, NEAR, 1020)
  assert.is(received.kind, 'request')
  if (received.kind === 'request') sides.laptop.checks.receive(received.answer, FAR, 1040)
  assert.equal(sides.laptop.record.countsOf(phone.id, FAR), {
    ...NO_CHECKS,
    sent: 1,
    answered: 1,
    sentMs: 1000,
    answeredMs: 1040,
    roundTripMs: 40,
  })
  assert.equal(sides.phone.record.countsOf(laptop.id, NEAR), {
    ...NO_CHECKS,
    received: 1,
    receivedMs: 1020,
  })
  assert.equal(sides.laptop.record.countsOf(phone.id, 'relay'), NO_CHECKS)
})

rule('does not count a check to nobody, and forgets a peer that is none any more', () => {
  const { checks, record } = pair().laptop
  const mallory = acme.device('mallory').id
  assert.is(checks.request(mallory, FAR, 0), undefined)
  assert.equal(record.countsOf(mallory, FAR), NO_CHECKS)
  checks.request(phone.id, FAR, 0)
  checks.setPeers(new Map())
  assert.equal(record.countsOf(phone.id, FAR), NO_CHECKS)
})

rule('counts what was dropped by its source, and tells of the sources asked for alone', () => {
  const { checks, record } = pair().laptop
  for (let n = 0; n < 3; n++) checks.receive(Uint8Array.of(1, 2, 3), FAR, n)
  checks.receive(Uint8Array.of(1, 2, 3), NEAR, 9)
  checks.receive(Uint8Array.of(1, 2, 3), 'relay', 9)
  assert.equal(record.dropsFrom([FAR, FAR]), [{ reason: 'malformed', count: 3 }])
  assert.equal(record.dropsFrom([]), [])
})

rule('keeps no more endpoints and sources than its bounds, the newest', () => {
  const record = new CheckRecord()
  const at = (n: number) => parseEndpoint(`10.0.${n >> 8}.${n & 255}:1000`)
  for (let n = 0; n < 2000; n++) {
    record.sent(phone.id, at(n), n)
    record.received({ kind: 'dropped', reason: 'not-authentic' }, at(n), n)
  }
  const all = Array.from({ length: 2000 }, (_, n) => at(n))
  assert.is(all.filter((each) => record.countsOf(phone.id, each).sent > 0).length, 48)
  assert.is(record.countsOf(phone.id, at(1999)).sent, 1)
  assert.equal(record.dropsFrom(all), [{ reason: 'not-authentic', count: 256 }])
})

rule('says UDP is unanswered only when nobody answers, neither servers nor members', () => {
  const { checks, record } = pair().laptop
  assert.is(record.udp(0), 'unknown')
  const check = (nowMs: number) => void checks.request(phone.id, FAR, nowMs)
  for (const atMs of [0, 1000, 2000, 3000]) check(atMs)
  assert.is(record.udp(60_000), 'unknown', 'one member that is off')
  for (const atMs of [3100, 3300, 3700]) checks.ask(STUN, atMs)
  assert.is(record.udp(3900), 'unknown', 'too soon')
  assert.is(record.udp(4000), 'unanswered')
  record.received(answer(FAR, 40), FAR, 4100)
  assert.is(record.udp(4100), 'answered')
  for (const atMs of [5000, 5100, 5300, 5700]) checks.ask(STUN, atMs)
  assert.is(record.udp(60_000), 'answered', 'a server that is off, and no member was checked')
  for (const atMs of [6000, 7000, 8000]) check(atMs)
  assert.is(record.udp(10_000), 'unanswered')
  record.received(request, NEAR, 10_001)
  assert.is(record.udp(10_001), 'answered', 'a check of the peer arrived')
  for (const atMs of [11_000, 12_000, 13_000]) {
    check(atMs)
    checks.ask(STUN, atMs)
  }
  record.received(answer('relay', 60), 'relay', 15_000)
  assert.is(record.udp(16_000), 'unanswered', 'what a relay brings proves no UDP')
})

rule('makes evidence of a path: ages, microseconds, nothing that is infinite', () => {
  const record = new CheckRecord()
  const state = initialState(true, [{ kind: 'host', ...FAR }], 1000)
  record.sent(phone.id, FAR, 1500)
  record.sent(phone.id, 'relay', 1600)
  record.received(answer('relay', 61.25), 'relay', 1661)
  assert.equal(pathFacts(phone.id, state, record, 3000), {
    udp: 'unknown',
    path: {
      phase: 'connecting',
      sinceAgoMs: 2000,
      heardAgoMs: undefined,
      endpoint: undefined,
      roundTripUs: undefined,
    },
    pairs: [
      {
        kind: 'host',
        ...FAR,
        sent: 1,
        answered: 0,
        received: 0,
        roundTripUs: undefined,
        sentAgoMs: 1500,
        answeredAgoMs: undefined,
        receivedAgoMs: undefined,
        blockedForMs: undefined,
      },
    ],
    relay: {
      available: false,
      sent: 1,
      answered: 1,
      received: 0,
      roundTripUs: undefined,
      answeredAgoMs: 1339,
    },
    drops: [],
    sessionMissingForMs: undefined,
  })
  assert.is(noPathFacts('answered').path.phase, 'unknown')
})

rule.run()
