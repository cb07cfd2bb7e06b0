import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { PathInput } from '../../../agent/path/machine.ts'
import { idleState, initialState } from '../../../agent/path/path-state.ts'
import { statusOf } from '../../../agent/path/path-status.ts'
import { candidates, type Driver, drive, kinds, network, PUBLIC, SEEN, start } from './world.ts'

const rule = suite('path machine: sessions and rest')

rule('wakes WireGuard as soon as a relay takes a datagram, where this side initiates', () => {
  const path = start(network([], 80))
  path.runUntil(2)
  assert.ok(kinds(path.done).includes('wake'))
})

rule('waits to hear of the peer and then for its handshake, where the other side initiates', () => {
  const path = start(network([], 80), initialState(false, candidates, 0))
  path.runUntil(240)
  assert.not(kinds(path.done).includes('wake'))
  path.runUntil(300)
  assert.ok(kinds(path.done).includes('wake'))
})

rule('restarts the peer when a woken WireGuard stays mute', () => {
  const path = drive(initialState(true, candidates, 0), (action, later) => {
    if (action.kind === 'send-relay-check') later(0, { kind: 'relay', available: true })
    if (action.kind === 'wake') later(20, { kind: 'woken' })
  })
  path.runUntil(79)
  assert.not(kinds(path.done).includes('restart-peer'))
  path.runUntil(1000)
  assert.equal(kinds(path.done).filter((kind) => kind === 'restart-peer').length, 1)
})

rule('never restarts a peer whose session is up', () => {
  const path = start(network([[PUBLIC, 40]], 80))
  path.runUntil(60_000)
  assert.not(kinds(path.done).includes('restart-peer'))
})

rule(
  'carries a handshake itself that is late on the direct path, before the session has ended',
  () => {
    const path = start(network([[PUBLIC, 40]], 80))
    path.runUntil(1000)
    const upMs = path.state.session.upMs
    // Keepalives of the peer's keep the path in use.
    for (let atMs = 10_000; atMs < upMs + 160_000; atMs += 10_000) {
      path.give({ ...SEEN, endpoint: PUBLIC, receivedBytes: atMs, sentBytes: atMs }, atMs)
      path.runUntil(atMs)
    }
    const [told, ...left] = path.done.filter(({ action }) => /^use-/.test(action.kind))
    assert.is(told?.action.kind, 'use-direct')
    const [first] = left.filter(({ action }) => action.kind === 'use-relay')
    assert.is(Math.round((first?.atMs ?? 0) - upMs), 150_000)
    assert.is(statusOf(path.state, path.nowMs).kind, 'direct')
    const handshakeMs = path.nowMs
    path.give({ ...SEEN, handshakeMs, receivedBytes: 1e6, sentBytes: 1e6 })
    path.runUntil(path.nowMs + 1000)
    assert.equal(path.done.findLast(({ action }) => /^use-/.test(action.kind))?.action, {
      kind: 'use-direct',
      endpoint: PUBLIC,
      others: [],
    })
  },
)

rule('puts WireGuard to rest when nothing was heard of the peer for 10 s', () => {
  const world = network([])
  world.relay = 80
  world.handshakes = false
  const path = drive(initialState(true, candidates, 0), (action, later) => {
    if (action.kind === 'send-relay-check') later(0, { kind: 'relay', available: true })
    if (action.kind === 'wake') later(1, { kind: 'wireguard-sent', message: 'initiation' })
  })
  path.runUntil(10_100)
  assert.equal(path.done.find(({ action }) => action.kind === 'rest')?.action, {
    kind: 'rest',
    restart: true,
  })
  assert.equal(kinds(path.done).filter((kind) => kind === 'wake').length, 1)
})

rule('wakes WireGuard again at the first word of a peer that was away', () => {
  const path = drive(initialState(true, candidates, 0), (action, later) => {
    if (action.kind === 'send-relay-check') later(0, { kind: 'relay', available: true })
    if (action.kind === 'wake') later(1, { kind: 'wireguard-sent', message: 'initiation' })
  })
  path.runUntil(60_000)
  path.give({ kind: 'relay-check-received' })
  path.runUntil(60_000)
  assert.equal(path.done.at(-1)?.action, { kind: 'wake' })
  assert.ok(kinds(path.done.filter(({ atMs }) => atMs === 60_000)).includes('send-check'))
})

rule('is idle after 5 min without traffic: WireGuard at the loopback socket, nothing sent', () => {
  const path = start(network([[PUBLIC, 40]], 80))
  path.runUntil(301_000)
  assert.equal(path.state.phase, { kind: 'idle', isUnreached: false })
  assert.ok(kinds(path.done).includes('use-relay'))
  assert.ok(kinds(path.done).includes('rest'))
  const before = path.done.length
  path.runUntil(4_000_000)
  assert.is(path.done.length, before)
})

rule('is not idle while a direct path has no relay beside it', () => {
  const path = start(network([[PUBLIC, 40]]))
  path.runUntil(1_000_000)
  assert.equal(statusOf(path.state, path.nowMs).kind, 'direct')
})

for (const input of [
  { kind: 'wireguard-sent', message: 'initiation' },
  { kind: 'wireguard-sent', message: 'data' },
  { kind: 'relayed-datagram' },
  { kind: 'punched', candidates },
] satisfies PathInput[]) {
  rule(`checks at once when ${input.kind} ends idleness, and is direct again`, () => {
    const path = start(network([[PUBLIC, 40]], 80))
    path.runUntil(400_000)
    path.give(input)
    path.runUntil(400_060)
    assert.equal(statusOf(path.state, path.nowMs).kind, 'direct')
  })
}

rule('slows its heartbeat to 15 s without traffic, and loses no trust by it', () => {
  const path = start(network([[PUBLIC, 40]], 80))
  path.runUntil(250_000)
  const checks = path.done.filter(
    ({ action, atMs }) => action.kind === 'send-check' && atMs > 190_000,
  )
  assert.ok(checks.length <= 5, `${checks.length} checks in a minute`)
  assert.equal(statusOf(path.state, path.nowMs).kind, 'direct')
})

rule('backs off to a round every 15 s and never gives up', () => {
  const world = network([], 80)
  const path = start(world)
  for (let ms = 1000; ms < 3_600_000; ms += 60_000) path.give({ kind: 'relayed-datagram' }, ms)
  path.runUntil(3_600_000)
  const checks = path.done.filter(
    ({ action, atMs }) => action.kind === 'send-check' && atMs > 3_540_000,
  )
  assert.ok(checks.length >= 6 && checks.length <= 10, `${checks.length} checks in a minute`)
})

/** Two handshakes that crossed: initiations go out, and nothing comes of them, though the peer is heard of. */
function crossed(initiates: boolean): ReturnType<typeof drive> {
  return drive(initialState(initiates, candidates, 0), (action, later) => {
    if (action.kind === 'send-relay-check') {
      later(0, { kind: 'relay', available: true })
      later(80, { kind: 'relay-check-answered', roundTripMs: 80 })
    }
    if (action.kind === 'wake' || action.kind === 'restart-peer')
      later(1, { kind: 'wireguard-sent', message: 'initiation' })
  })
}

rule('begins anew after a quarter of a second where a handshake stalls, and after a second', () => {
  const path = crossed(true)
  path.runUntil(4000)
  const restarts = path.done.filter(({ action }) => action.kind === 'restart-peer')
  assert.equal(
    restarts.map(({ atMs }) => atMs),
    [330, 1331],
  )
})

rule('then lets WireGuard try first, whose next message carries the cookie of a busy peer', () => {
  const path = crossed(true)
  path.runUntil(20_000)
  const tried = path.done.filter(({ action }) => /^(wake|restart-peer)$/.test(action.kind))
  assert.equal(
    tried.slice(3).map(({ action }) => action.kind),
    ['wake', 'wake', 'wake'],
  )
})

rule(
  'does so too where WireGuard initiated by itself, for a packet that came before the path',
  () => {
    const path = drive(initialState(true, candidates, 0), (action, later) => {
      if (
        action.kind === 'send-check' &&
        action.endpoint.address === PUBLIC.address &&
        path.nowMs > 900
      )
        later(40, { kind: 'check-answered', endpoint: PUBLIC, roundTripMs: 40 })
    })
    path.runUntil(600)
    path.give({ kind: 'wireguard-sent', message: 'initiation' })
    path.runUntil(3500)
    const foundMs = path.state.phaseSinceMs
    assert.is(statusOf(path.state, path.nowMs).kind, 'direct')
    const restart = path.done.find(({ action }) => action.kind === 'restart-peer')
    assert.is(restart?.atMs, foundMs + 250)
  },
)

rule('leaves that to the side that initiates, and tries again later than it', () => {
  const path = crossed(false)
  path.runUntil(6000)
  assert.not(kinds(path.done).includes('restart-peer'))
  const wakes = path.done.filter(({ action }) => action.kind === 'wake').map(({ atMs }) => atMs)
  const [first = 0, second = 0] = wakes
  assert.ok(second - first > 5000, `${first} and ${second} ms`)
})

rule('takes WireGuard back to the loopback socket while there is no session', () => {
  const path = crossed(true)
  path.runUntil(500)
  path.give({ ...SEEN, endpoint: PUBLIC })
  path.runUntil(600)
  assert.ok(kinds(path.done).includes('use-relay'))
})

rule('does nothing for a peer of a large organization before its first packet', () => {
  for (const input of [
    { kind: 'peer-candidates', candidates },
    { kind: 'local-candidates' },
    { kind: 'relays-changed' },
    { kind: 'network-changed' },
    { kind: 'relay-check-received' },
    SEEN,
  ] satisfies PathInput[]) {
    const path = start(network([[PUBLIC, 40]], 80), idleState(true, candidates, 0))
    path.runUntil(1000)
    path.give(input)
    path.runUntil(4_000_000)
    assert.equal(path.done, [], input.kind)
    assert.equal(statusOf(path.state, path.nowMs), { kind: 'idle' })
  }
})

rule('finds a path to it from its first packet on', () => {
  const path = start(network([[PUBLIC, 40]], 80), idleState(true, candidates, 0))
  path.runUntil(60_000)
  path.give({ kind: 'wireguard-sent', message: 'initiation' })
  path.runUntil(60_100)
  assert.equal(statusOf(path.state, path.nowMs).kind, 'direct')
})

rule('is offline, not idle, where no path was found', () => {
  const path = start(network([]))
  path.runUntil(400_000)
  assert.equal(statusOf(path.state, path.nowMs), { kind: 'offline' })
  path.give({ kind: 'relay-check-received' })
  path.runUntil(400_001)
  assert.equal(statusOf(path.state, path.nowMs), { kind: 'idle' })
})

rule('seeks a peer that is off as rarely where a relay says so as where nothing does', () => {
  const path = off()
  path.runUntil(300_000)
  const count = (kind: string) => kinds(path.done).filter((each) => each === kind).length
  // The first seconds' rounds, then one each 15 s.

  assert.ok(count('send-relay-check') <= 30, `${count('send-relay-check')} checks by the relay`)
  assert.ok(count('send-punch') <= 60, `${count('send-punch')} punches`)
  assert.is(count('wake'), 1)
  path.runUntil(310_000)
  assert.is(path.state.phase.kind, 'idle')
})

rule('wakes WireGuard at once for a peer that was off, when it is heard again', () => {
  const path = off()
  path.runUntil(100_000)
  path.give({ kind: 'relay-check-received' })
  path.runUntil(100_100)
  assert.is(path.done.findLast(({ action }) => action.kind === 'wake')?.atMs, 100_000)
})

/** A peer that is off, and a relay that says so of each datagram: what is sent there within the next 2 s has no way.
 *  WireGuard's messages are sent again for 3 s (mesh/relay-undelivered.ts). */
function off(): Driver {
  let closedUntilMs = -Infinity
  let isAwake = false
  const send = (againForMs: number): PathInput => {
    const available = path.nowMs >= closedUntilMs
    closedUntilMs = Math.max(closedUntilMs, path.nowMs + againForMs + 2000)
    return { kind: 'relay', available }
  }
  const initiate = (): void => {
    if (!isAwake) return
    path.give({ kind: 'wireguard-sent', message: 'initiation' })
    path.give(send(3000))
    path.give({ kind: 'tick' }, path.nowMs + 5100)
  }
  const path = drive(initialState(true, candidates, 0), (action, later) => {
    if (action.kind === 'send-relay-check') later(0, send(0))
    if (action.kind === 'wake') isAwake = true
    if (action.kind === 'rest') isAwake = false
    if (action.kind === 'wake') initiate()
  })
  return path
}

rule.run()
