import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  completed,
  type HandshakeState,
  incoming,
  initialHandshake,
  outgoing,
  pathAppeared,
  repeat,
  repeatDueMs,
  repeatNow,
  wireguardMessage,
} from '../../../agent/path/handshake.ts'

const HOLD_MS = 250
/** As WireGuard makes them: type, zeros, the sender's index; the rest is sealed. */
function initiation(index: number): Uint8Array {
  const bytes = new Uint8Array(148).fill(index)
  bytes.set([1, 0, 0, 0, index, 0, 0, 0])
  return bytes
}
function response(to: number): Uint8Array {
  const bytes = new Uint8Array(92).fill(9)
  bytes.set([2, 0, 0, 0, 77, 0, 0, 0, to, 0, 0, 0])
  return bytes
}
const keepalive = Uint8Array.from([4, ...new Array<number>(31).fill(0)])

/** WireGuard sends its initiation at `nowMs`. */
function initiating(initiates: boolean, nowMs = 0): HandshakeState {
  return outgoing(initialHandshake(initiates), initiation(1), nowMs, HOLD_MS).state
}

/** When an unanswered initiation goes out. */
function sends(initial: HandshakeState, untilMs: number): number[] {
  const moments: number[] = []
  let state = initial
  for (let ms = 0; ms <= untilMs; ms += 10) {
    const next = repeat(state, ms)
    state = next.state
    if (next.send !== undefined) moments.push(ms)
  }
  return moments
}

const rule = suite('handshake: one initiator')

rule('tells WireGuard’s messages by type and size', () => {
  const kinds = [initiation(1), response(1), keepalive, new Uint8Array(148), new Uint8Array(0)]
  assert.equal(kinds.map(wireguardMessage), [
    'initiation',
    'response',
    'keepalive',
    'unknown',
    'unknown',
  ])
  assert.is(wireguardMessage(initiation(1).subarray(0, 147)), 'unknown')
  assert.is(wireguardMessage(Uint8Array.from([...keepalive, 0])), 'data')
})

rule(
  'sends the initiation of the side that initiates at once, and again after 40, 120 … ms',
  () => {
    assert.equal(sends(initiating(true), 6000), [0, 40, 120, 280, 600, 1240, 2520])
  },
)

rule('holds the initiation of the other side', () => {
  assert.equal(sends(initiating(false), 1000), [250, 290, 370, 530, 850])
})

rule('discards the held initiation when the peer’s comes', () => {
  const taken = incoming(initiating(false), initiation(5), 100)
  assert.ok(taken.inject)
  assert.equal(sends(taken.state, 6000), [])
})

rule(
  'drops the peer’s initiation while its own is younger than a second, where it initiates',
  () => {
    assert.not(incoming(initiating(true), initiation(5), 999).inject)
    assert.ok(incoming(initiating(true), initiation(5), 1000).inject)
    assert.ok(incoming(initialHandshake(true), initiation(5), 10).inject)
  },
)

rule('repeats nothing after a response', () => {
  const answered = incoming(initiating(true), response(1), 80)
  assert.ok(answered.inject)
  assert.is(repeatDueMs(answered.state), Infinity)
})

rule('repeats nothing after a handshake was seen done', () => {
  assert.is(repeatDueMs(completed(initiating(true))), Infinity)
})

rule('ends its repetitions after 5 s, when WireGuard makes a new one', () => {
  const ended = repeat(initiating(true), 5000)
  assert.is(ended.send, undefined)
  assert.is(repeatDueMs(ended.state), Infinity)
})

rule('repeats at once when the peer has appeared, where it initiates', () => {
  const sent = repeat(initiating(true), 0).state
  assert.is(repeatDueMs(repeatNow(sent, 20, HOLD_MS)), 20)
  assert.is(repeatDueMs(pathAppeared(sent, 20, HOLD_MS)), 20)
})

rule('waits for the peer’s when the first path has appeared, where it does not initiate', () => {
  const held = initiating(false)
  const sent = repeat(held, 250).state
  assert.is(repeatDueMs(pathAppeared(held, 240, HOLD_MS)), 240 + HOLD_MS)
  assert.is(repeatDueMs(pathAppeared(sent, 260, HOLD_MS)), 260 + HOLD_MS)
})

rule('is put off by no good news after the first', () => {
  const held = initiating(false)
  assert.is(repeatDueMs(repeatNow(held, 20, HOLD_MS)), HOLD_MS)
  const sent = repeat(held, HOLD_MS).state
  assert.is(repeatDueMs(repeatNow(sent, HOLD_MS + 10, HOLD_MS)), HOLD_MS + 40)
})

rule('has nothing to repeat where WireGuard did not initiate', () => {
  assert.is(repeatDueMs(pathAppeared(initialHandshake(true), 20, HOLD_MS)), Infinity)
  assert.is(repeatDueMs(repeatNow(initialHandshake(false), 20, HOLD_MS)), Infinity)
})

rule('answers a repeated initiation with the response that was lost', () => {
  const first = incoming(initialHandshake(false), initiation(5), 0)
  const answered = outgoing(first.state, response(5), 1, HOLD_MS)
  assert.ok(answered.send)
  const again = incoming(answered.state, initiation(5), 150)
  assert.equal(again, { state: answered.state, inject: false, reply: response(5) })
})

rule('lets WireGuard see a repeated initiation that it has not answered', () => {
  const first = incoming(initialHandshake(false), initiation(5), 0)
  assert.ok(incoming(first.state, initiation(5), 150).inject)
})

rule('never answers one initiation with the response to another', () => {
  const first = incoming(initialHandshake(false), initiation(5), 0)
  const answered = outgoing(first.state, response(5), 1, HOLD_MS)
  assert.equal(incoming(answered.state, initiation(6), 150).reply, undefined)
  assert.ok(incoming(answered.state, initiation(6), 150).inject)
})

rule('passes everything else both ways', () => {
  for (const initiates of [true, false]) {
    const state = initiating(initiates)
    assert.ok(incoming(state, keepalive, 10).inject)
    assert.ok(outgoing(state, keepalive, 10, HOLD_MS).send)
  }
})

rule.run()
