import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { initialState } from '../../../agent/path/path-state.ts'
import { routeOf, statusOf } from '../../../agent/path/path-status.ts'
import { parseEndpoint, sameEndpoint } from '../../../protocol/address.ts'
import type { Candidate } from '../../../protocol/endpoint-update.ts'
import { candidates, kinds, LAN, network, PUBLIC, REFLEXIVE, SEEN, start } from './world.ts'

const rule = suite('path machine')

rule('checks every candidate, the relay and the peer at once at the start', () => {
  const path = start(network([]))
  path.runUntil(20)
  assert.equal(
    path.done.filter(({ action }) => action.kind === 'send-check').map(({ atMs }) => atMs),
    [0, 5],
  )
  assert.ok(kinds(path.done).includes('send-relay-check'))
  assert.ok(kinds(path.done).includes('send-punch'))
})

rule('is relayed once a check came back by the relay', () => {
  const path = start(network([], 80))
  path.runUntil(79)
  assert.equal(statusOf(path.state, 79), { kind: 'connecting' })
  path.runUntil(81)
  assert.equal(statusOf(path.state, 81), { kind: 'relay', roundTripMs: 80 })
})

rule('asks by a relay that has just come at once, where none took what was asked before', () => {
  const world = network([])
  const path = start(world)
  path.runUntil(30)
  world.relay = 80
  for (const atMs of [30, 31]) {
    path.give({ kind: 'relays-changed' })
    path.runUntil(atMs)
  }
  const asked = path.done.filter(({ action }) => action.kind === 'send-relay-check')
  assert.equal(
    asked.map(({ atMs }) => atMs),
    [0, 30],
    'once, until a tenth of a second has passed',
  )
  path.runUntil(111)
  assert.is(statusOf(path.state, 111).kind, 'relay')
})

rule('becomes direct with the first answer, and tells WireGuard once a session is up', () => {
  const path = start(network([[PUBLIC, 40]], 80))
  path.runUntil(50)
  assert.equal(statusOf(path.state, 50), { kind: 'direct', endpoint: PUBLIC, roundTripMs: 40 })
  assert.not(kinds(path.done).includes('use-direct'))
  path.runUntil(120)
  const told = path.done.filter(({ action }) => action.kind === 'use-direct')
  assert.equal(
    told.map(({ action }) => action),
    [{ kind: 'use-direct', endpoint: PUBLIC, others: [] }],
  )
})

rule('sends datagrams directly, else by the relay, else nowhere', () => {
  const path = start(network([[PUBLIC, 40]], 80))
  assert.equal(routeOf(path.state), { kind: 'none' })
  path.runUntil(10)
  assert.equal(routeOf(path.state), { kind: 'relay' })
  path.runUntil(50)
  assert.equal(routeOf(path.state), { kind: 'direct', endpoint: PUBLIC })
})

rule('takes the source of a check as a candidate and checks it at once (RFC 8445 §7.3.1.4)', () => {
  const path = start(network([]))
  path.runUntil(500)
  path.give({ kind: 'check-received', endpoint: REFLEXIVE })
  path.runUntil(500)
  const last = path.done.at(-1)
  assert.equal(last?.action, { kind: 'send-check', endpoint: REFLEXIVE })
})

rule('prefers the same network over a faster path of like latency, and only once a second', () => {
  const world = network([[PUBLIC, 10]], 80)
  const path = start(world)
  path.runUntil(3000)
  assert.equal(statusOf(path.state, 3000).kind, 'direct')
  world.direct.set(LAN.address + LAN.port, 12)
  path.give({ kind: 'network-changed' })
  path.runUntil(3100)
  assert.equal(statusOf(path.state, 3100), { kind: 'direct', endpoint: LAN, roundTripMs: 12 })
})

rule('keeps a path against another that is not faster by a quarter', () => {
  const other: Candidate = { kind: 'host', ...parseEndpoint('203.0.113.9:51820') }
  const world = network([[PUBLIC, 100]], 80)
  const path = start(world, initialState(true, [...candidates, other], 0))
  path.runUntil(3000)
  world.direct.set(other.address + other.port, 80)
  path.give({ kind: 'local-candidates' })
  path.runUntil(6000)
  const status = statusOf(path.state, 6000)
  assert.ok(status.kind === 'direct' && sameEndpoint(status.endpoint, PUBLIC))
})

rule('keeps a path whose answers a busy host delays, and leaves one that has become slow', () => {
  const ipv6: Candidate = { kind: 'host', ...parseEndpoint('[2001:db8::7]:51820') }
  const world = network([[PUBLIC, 10]], 80)
  world.direct.set(ipv6.address + ipv6.port, 10)
  const path = start(world, initialState(true, [...candidates, ipv6], 0))
  for (let atMs = 5000; atMs <= 200_000; atMs += 5000) path.give({ kind: 'relayed-datagram' }, atMs)
  const used = (): readonly string[] =>
    path.done.flatMap(({ action }) =>
      action.kind === 'use-direct' ? [action.endpoint.address] : [],
    )
  path.runUntil(25_000)
  world.direct.set(ipv6.address + ipv6.port, 90)
  path.runUntil(32_000)
  world.direct.set(ipv6.address + ipv6.port, 10)
  path.runUntil(100_000)
  assert.equal(new Set(used().slice(1)), new Set([ipv6.address]))
  world.direct.set(ipv6.address + ipv6.port, 90)
  path.runUntil(200_000)
  assert.is(used().at(-1), PUBLIC.address)
})

rule('rests although both sides search, and each tells the other', () => {
  const path = start(network([], 80))
  for (let atMs = 5000; atMs <= 305_000; atMs += 15_000) {
    path.give({ kind: 'punched', candidates: [] }, atMs)
  }
  path.runUntil(304_000)
  assert.is(statusOf(path.state, path.nowMs).kind, 'idle')
  path.runUntil(306_000)
  assert.is.not(statusOf(path.state, path.nowMs).kind, 'idle')
})

rule('goes back to the relay when answers end, after 6.5 s and not before', () => {
  const world = network([[PUBLIC, 40]], 80)
  const path = start(world)
  path.runUntil(4000)
  const answeredMs = Math.max(...path.state.pairs.map((pair) => pair.answeredMs))
  world.direct.clear()
  path.runUntil(answeredMs + 6400)
  assert.equal(statusOf(path.state, path.nowMs).kind, 'direct')
  path.runUntil(answeredMs + 6501)
  assert.equal(statusOf(path.state, path.nowMs).kind, 'relay')
  assert.equal(kinds(path.done).filter((kind) => kind === 'use-relay').length, 1)
})

rule('repeats an unanswered heartbeat, so that one lost packet costs no trust', () => {
  const world = network([[PUBLIC, 40]], 80)
  const path = start(world)
  path.runUntil(4000)
  world.direct.clear()
  path.runUntil(6500)
  world.direct.set(PUBLIC.address + PUBLIC.port, 40)
  path.runUntil(20_000)
  assert.not(kinds(path.done).includes('use-relay'))
})

rule('leaves WireGuard alone when the direct path is lost and the relay is not proved', () => {
  const world = network([[PUBLIC, 40]])
  const path = start(world)
  path.runUntil(4000)
  assert.ok(kinds(path.done).includes('use-direct'))
  world.direct.clear()
  path.runUntil(15_000)
  assert.equal(statusOf(path.state, path.nowMs).kind, 'connecting')
  assert.not(kinds(path.done).includes('use-relay'))
})

rule('trusts a path for half a second only after the network changed', () => {
  const world = network([[PUBLIC, 40]], 80)
  const path = start(world)
  path.runUntil(4000)
  world.direct.clear()
  path.give({ kind: 'network-changed' })
  path.runUntil(4499)
  assert.equal(statusOf(path.state, path.nowMs).kind, 'direct')
  path.runUntil(4501)
  assert.equal(statusOf(path.state, path.nowMs).kind, 'relay')
  assert.ok(kinds(path.done).includes('refresh-mapping'))
})

rule(
  'checks the path when the peer falls back to the relay, and follows it in half a second',
  () => {
    const world = network([[PUBLIC, 40]], 80)
    const path = start(world)
    path.runUntil(4000)
    world.direct.clear()
    path.give({ kind: 'relayed-datagram' })
    path.runUntil(4000)
    assert.equal(path.done.at(-1)?.action, { kind: 'send-check', endpoint: PUBLIC })
    path.runUntil(5001)
    assert.equal(statusOf(path.state, path.nowMs).kind, 'relay')
  },
)

rule(
  'checks a path by which WireGuard sends and receives nothing, and doubts it at the second look',
  () => {
    const world = network([[PUBLIC, 40]], 80)
    const path = start(world)
    path.runUntil(4000)
    path.give({ ...SEEN, receivedBytes: 1000, sentBytes: 1000 })
    path.give({ ...SEEN, receivedBytes: 1000, sentBytes: 2000 }, 4250)
    path.give({ ...SEEN, receivedBytes: 1000, sentBytes: 3000 }, 4500)
    path.runUntil(5000)
    assert.equal(routeOf(path.state), { kind: 'direct', endpoint: PUBLIC })
    world.direct.clear()
    path.give({ ...SEEN, receivedBytes: 2000, sentBytes: 4000 }, 5000)
    path.give({ ...SEEN, receivedBytes: 2000, sentBytes: 5000 }, 5250)
    path.give({ ...SEEN, receivedBytes: 2000, sentBytes: 6000 }, 5500)
    path.runUntil(5500)
    assert.equal(routeOf(path.state), { kind: 'both', endpoint: PUBLIC })
    assert.equal(path.done.at(-1)?.action.kind, 'refresh-mapping')
    assert.ok(kinds(path.done).includes('use-relay'))
    path.runUntil(6001)
    assert.equal(routeOf(path.state), { kind: 'relay' })
  },
)

rule(
  'tells WireGuard again after late relayed packets made it roam, once an answer proves the path',
  () => {
    const path = start(network([[PUBLIC, 40]], 80))
    path.runUntil(120)
    path.give({ kind: 'relayed-datagram' }, 150)
    path.runUntil(189)
    assert.equal(kinds(path.done).filter((kind) => kind === 'use-direct').length, 1)
    path.runUntil(1200)
    assert.ok(kinds(path.done).filter((kind) => kind === 'use-direct').length > 1)
  },
)

rule('tells WireGuard again when it shows another endpoint', () => {
  const path = start(network([[PUBLIC, 40]], 80))
  path.runUntil(5000)
  const before = kinds(path.done).filter((kind) => kind === 'use-direct').length
  path.give({ ...SEEN, endpoint: undefined })
  path.runUntil(5100)
  assert.equal(kinds(path.done).filter((kind) => kind === 'use-direct').length, before + 1)
})

rule('follows the choice of the side that initiates when both chose a path', () => {
  const path = start(
    network([
      [PUBLIC, 40],
      [LAN, 41],
    ]),
    initialState(false, candidates, 0),
  )
  path.runUntil(2000)
  assert.equal(statusOf(path.state, 2000), { kind: 'direct', endpoint: LAN, roundTripMs: 41 })
  path.give({ ...SEEN, endpoint: PUBLIC })
  path.runUntil(2001)
  assert.equal(statusOf(path.state, 2001), { kind: 'direct', endpoint: PUBLIC, roundTripMs: 40 })
})

rule(
  'wakes WireGuard without the peer’s handshake when the peer believes in a lost session',
  () => {
    const world = network([[PUBLIC, 40]], 80)
    const path = start(world, initialState(false, candidates, 0))
    path.runUntil(1000)
    assert.equal(kinds(path.done).filter((kind) => kind === 'wake').length, 1)
  },
)

rule('answers punch with checks, not with punches, where it searches already', () => {
  const path = start(network([], 80))
  path.runUntil(60_000)
  const before = path.done.length
  path.give({ kind: 'punched', candidates })
  path.runUntil(60_010)
  assert.equal(kinds(path.done.slice(before)), ['send-check', 'send-check'])
})

rule('reports a peer without any path as offline after 30 s', () => {
  const path = start(network([]))
  path.runUntil(29_000)
  assert.equal(statusOf(path.state, path.nowMs), { kind: 'connecting' })
  path.runUntil(30_001)
  assert.equal(statusOf(path.state, path.nowMs), { kind: 'offline' })
})

rule.run()
