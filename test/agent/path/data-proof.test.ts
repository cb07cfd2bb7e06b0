import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { pairAt } from '../../../agent/path/pairs.ts'
import { initialState, isBlocked } from '../../../agent/path/path-state.ts'
import { statusOf } from '../../../agent/path/path-status.ts'
import { candidates, type Driver, drive, PUBLIC } from './world.ts'

const rule = suite('data-plane verification')

/** Two hosts between which checks pass: what the peer's WireGuard has received, and what ours. */
interface Wire {
  arrives: boolean
  received: number
  sent: number
  ours: number
  relay: boolean
  /** The peer's answers to checks, late by so many milliseconds. */
  lateMs?: number
}

/** The machine hears what WireGuard shows. */
function look(path: Driver, { ours, sent }: Wire, atMs: number): void {
  const { told: endpoint } = path.state
  const seen = { handshakeMs: 0, receivedBytes: ours, sentBytes: sent, endpoint }
  path.give({ kind: 'tunnel', ...seen }, atMs)
  path.runUntil(atMs)
}

/** A packet a look, four looks a second, as WireGuard shows them. */
function talk(
  path: Driver,
  wire: Wire,
  untilMs: number,
  { peerTalks = true, bytes = 96 } = {},
): void {
  for (let atMs = path.nowMs + 250; atMs <= untilMs; atMs += 250) {
    const isRelayed = statusOf(path.state, atMs).kind !== 'direct'
    wire.sent += bytes
    if (wire.arrives || isRelayed) wire.received += bytes
    if (peerTalks && (wire.arrives || isRelayed)) wire.ours += 96
    look(path, wire, atMs)
  }
}

function begin(): { path: Driver; wire: Wire } {
  const wire: Wire = { arrives: true, received: 0, sent: 0, ours: 0, relay: true }
  const path = drive(initialState(true, candidates, 0), (action, later) => {
    if (action.kind === 'send-check' && action.endpoint.address === PUBLIC.address)
      later(40 + (wire.lateMs ?? 0), {
        kind: 'check-answered',
        endpoint: PUBLIC,
        roundTripMs: 40,
        receivedBytes: wire.received,
      })
    if (action.kind === 'send-relay-check') {
      later(0, { kind: 'relay', available: wire.relay })
      if (wire.relay) later(80, { kind: 'relay-check-answered', roundTripMs: 80 })
    }
    if (action.kind === 'wake') later(60, { kind: 'wireguard-sent', message: 'keepalive' })
  })
  talk(path, wire, 5000)
  return { path, wire }
}

const kind = (path: Driver): string => statusOf(path.state, path.nowMs).kind
const reports = (path: Driver): readonly number[] =>
  path.done.flatMap(({ action }) => (action.kind === 'report-blocked' ? [action.forMs] : []))

rule('leaves a path whose checks pass and whose data does not, and says so', () => {
  const { path, wire } = begin()
  assert.is(kind(path), 'direct')
  wire.arrives = false
  talk(path, wire, 15_000)
  assert.is(kind(path), 'relay')
  assert.equal(reports(path), [30_000])
  assert.ok(path.done.some(({ action }) => action.kind === 'use-relay'))
})

rule('tries it again after a while, and for longer and longer leaves it alone', () => {
  const { path, wire } = begin()
  wire.arrives = false
  talk(path, wire, 400_000)
  assert.equal(reports(path).slice(0, 4), [30_000, 60_000, 120_000, 240_000])
  const moments = path.done.filter(({ action }) => action.kind === 'report-blocked')
  for (const [index, { atMs }] of moments.slice(1).entries()) {
    const quietMs = atMs - (moments[index]?.atMs ?? 0)
    assert.ok(quietMs >= (reports(path)[index] ?? 0), `${quietMs} ms`)
  }
})

rule('is sure of small packets sooner than of large ones, whose size may be the fault', () => {
  const [small, large] = [96, 1452].map((bytes) => {
    const { path, wire } = begin()
    wire.arrives = false
    talk(path, wire, 20_000, { bytes })
    return path.done.find(({ action }) => action.kind === 'report-blocked')?.atMs ?? Infinity
  })
  assert.ok(small !== undefined && small <= 10_000, `${small}`)
  assert.ok(large !== undefined && large >= 12_000 && large <= 20_000, `${large}`)
})

rule('finds out sooner when it tries again: what is sent meanwhile is lost', () => {
  const { path, wire } = begin()
  wire.arrives = false
  talk(path, wire, 400_000)
  const told = path.done.filter(({ action }) => action.kind === 'use-direct')
  const left = path.done.filter(({ action }) => action.kind === 'report-blocked')
  for (const { atMs } of left.slice(1)) {
    const triedMs = told.findLast((one) => one.atMs < atMs)?.atMs ?? -Infinity
    assert.ok(atMs - triedMs <= 5000, `${atMs - triedMs} ms`)
  }
})

rule('is tried again when its time has come, not with some later round', () => {
  const { path, wire } = begin()
  wire.arrives = false
  talk(path, wire, 15_000)
  const leftMs = path.done.find(({ action }) => action.kind === 'report-blocked')?.atMs ?? 0
  wire.arrives = true
  talk(path, wire, leftMs + 29_900)
  assert.is(kind(path), 'relay')
  talk(path, wire, leftMs + 30_500)
  assert.is(kind(path), 'direct')
})

rule('is shown while it is left alone, with the time that remains', () => {
  const { path, wire } = begin()
  wire.arrives = false
  talk(path, wire, 15_000)
  const leftMs = path.done.find(({ action }) => action.kind === 'report-blocked')?.atMs ?? 0
  const status = statusOf(path.state, leftMs + 10_000)
  assert.equal(status.kind === 'relay' && status.blocked, { endpoint: PUBLIC, forMs: 20_000 })
  wire.arrives = true
  talk(path, wire, leftMs + 35_000)
  assert.not('blocked' in statusOf(path.state, path.nowMs))
})

rule('is direct again, and has forgotten, once data gets through', () => {
  const { path, wire } = begin()
  wire.arrives = false
  talk(path, wire, 15_000)
  wire.arrives = true
  talk(path, wire, 80_000)
  assert.is(kind(path), 'direct')
  wire.arrives = false
  talk(path, wire, 92_000)
  assert.equal(reports(path), [30_000, 30_000])
})

rule('forgets it where the network changed', () => {
  const { path, wire } = begin()
  wire.arrives = false
  talk(path, wire, 15_000)
  wire.arrives = true
  path.give({ kind: 'network-changed' })
  talk(path, wire, 17_000)
  assert.is(kind(path), 'direct')
})

rule('takes a stream in one direction for no fault', () => {
  const { path, wire } = begin()
  talk(path, wire, 120_000, { peerTalks: false })
  assert.is(kind(path), 'direct')
  assert.equal(reports(path), [])
})

rule('takes keepalives for no data: wireguard-go does not count those it receives', () => {
  const { path, wire } = begin()
  for (let atMs = path.nowMs + 250; atMs < 60_000; atMs += 250) {
    wire.sent += 32
    look(path, wire, atMs)
  }
  assert.is(kind(path), 'direct')
  assert.equal(reports(path), [])
})

rule('takes initiations for no data: two that cross come to nothing on a path that is well', () => {
  const { path, wire } = begin()
  for (let atMs = path.nowMs + 1000; atMs < 60_000; atMs += 1000) {
    wire.sent += 148
    look(path, wire, atMs)
  }
  assert.is(kind(path), 'direct')
  assert.equal(reports(path), [])
})

rule('takes silence of both sides for no fault', () => {
  const { path } = begin()
  path.runUntil(120_000)
  assert.is(kind(path), 'direct')
  assert.equal(reports(path), [])
})

rule('takes a lost packet or two for no fault', () => {
  const { path, wire } = begin()
  for (let round = 0; round < 40; round += 1) {
    wire.arrives = false
    talk(path, wire, path.nowMs + 500)
    wire.arrives = true
    talk(path, wire, path.nowMs + 500)
  }
  assert.equal(reports(path), [])
})

rule('takes what arrived before the peer told its count for no loss', () => {
  const { path, wire } = begin()
  wire.lateMs = 1500
  talk(path, wire, path.nowMs + 1000)
  path.give({ kind: 'relayed-datagram' })
  path.runUntil(path.nowMs + 600)
  assert.is(path.state.told, undefined, 'carried by the agent for a moment')
  wire.lateMs = 0
  path.runUntil(path.nowMs + 2000)
  assert.is(path.state.told?.address, PUBLIC.address)
  // The last word of a conversation, which a look of a busy machine shows after the peer counted it.
  wire.received += 96
  path.runUntil(path.nowMs + 1000)
  wire.sent += 96
  look(path, wire, path.nowMs + 1)
  path.runUntil(path.nowMs + 60_000)
  assert.equal(reports(path), [])
})

rule('keeps the path where there is no other', () => {
  const { path, wire } = begin()
  wire.relay = false
  path.give({ kind: 'relays-changed' })
  path.give({ kind: 'relay', available: false })
  path.runUntil(80_000)
  wire.arrives = false
  talk(path, wire, 110_000)
  assert.is(kind(path), 'direct')
  assert.equal(reports(path), [])
})

rule('uses a blocked path all the same when the relay is gone', () => {
  const { path, wire } = begin()
  wire.arrives = false
  talk(path, wire, 15_000)
  const pair = pairAt(path.state.pairs, PUBLIC)
  assert.ok(pair !== undefined && isBlocked(path.state, pair, path.nowMs))
  wire.relay = false
  wire.arrives = true
  path.give({ kind: 'relay', available: false })
  talk(path, wire, 18_000)
  assert.is(kind(path), 'direct')
})

rule('asks nothing of a peer that does not say what it received', () => {
  const path = drive(initialState(true, candidates, 0), (action, later) => {
    if (action.kind === 'send-check' && action.endpoint.address === PUBLIC.address)
      later(40, { kind: 'check-answered', endpoint: PUBLIC, roundTripMs: 40 })
    if (action.kind === 'send-relay-check')
      later(80, { kind: 'relay-check-answered', roundTripMs: 80 })
    if (action.kind === 'wake') later(60, { kind: 'wireguard-sent', message: 'keepalive' })
  })
  talk(path, { arrives: false, received: 0, sent: 0, ours: 0, relay: true }, 30_000)
  assert.equal(reports(path), [])
})

rule.run()
