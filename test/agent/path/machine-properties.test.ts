import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type PathInput, step } from '../../../agent/path/machine.ts'
import { pairAt } from '../../../agent/path/pairs.ts'
import { initialState, type PathState } from '../../../agent/path/path-state.ts'
import { nextTickMs } from '../../../agent/path/settle.ts'
import { type Endpoint, parseEndpoint } from '../../../protocol/address.ts'
import type { Candidate } from '../../../protocol/endpoint-update.ts'
import { drive } from './world.ts'

const RUNS = { numRuns: 300 }
const ENDPOINTS = [
  '192.168.1.20:51820',
  '198.51.100.7:51820',
  '203.0.113.9:40000',
  '[2001:db8::7]:51820',
  '[fd00::7]:51820',
].map(parseEndpoint)
const REACHABLE = parseEndpoint('198.51.100.99:51820')

const endpoint = fc.constantFrom(...ENDPOINTS)
const candidates: fc.Arbitrary<Candidate[]> = fc.array(
  endpoint.map((one) => ({ kind: 'host' as const, ...one })),
  { maxLength: 6 },
)
const input: fc.Arbitrary<PathInput> = fc.oneof(
  fc.record({ kind: fc.constant('peer-candidates' as const), candidates }),
  fc.record({ kind: fc.constant('punched' as const), candidates }),
  fc.record({ kind: fc.constant('relay' as const), available: fc.boolean() }),
  fc.record({
    kind: fc.constant('check-answered' as const),
    endpoint,
    roundTripMs: fc.integer({ min: 0, max: 500 }),
  }),
  fc.record({ kind: fc.constant('check-received' as const), endpoint }),
  fc.record({
    kind: fc.constant('relay-check-answered' as const),
    roundTripMs: fc.integer({ min: 0, max: 500 }),
  }),
  fc.record({
    kind: fc.constant('tunnel' as const),
    handshakeMs: fc.constantFrom(-Infinity, 0, 1000, 100_000),
    receivedBytes: fc.nat(100_000),
    sentBytes: fc.nat(100_000),
    endpoint: fc.option(endpoint, { nil: undefined }),
  }),
  fc.record({
    kind: fc.constant('wireguard-sent' as const),
    message: fc.constantFrom('initiation', 'response', 'keepalive', 'data'),
  }),
  fc.constantFrom<PathInput>(
    { kind: 'local-candidates' },
    { kind: 'relays-changed' },
    { kind: 'relay-check-received' },
    { kind: 'network-changed' },
    { kind: 'relayed-datagram' },
    { kind: 'woken' },
    { kind: 'tick' },
  ),
)
/** What happened, each so many milliseconds after the one before. */
const history = fc.array(
  fc.tuple(
    fc.oneof({ weight: 5, arbitrary: fc.nat(300) }, { weight: 1, arbitrary: fc.nat(400_000) }),
    input,
  ),
  { maxLength: 60 },
)

interface Moment {
  readonly before: PathState
  readonly after: PathState
  readonly actions: readonly { readonly kind: string; readonly endpoint?: Endpoint }[]
  readonly nowMs: number
}

/** Runs a history, with the ticks a shell would give in between. */
function play(initiates: boolean, happened: readonly (readonly [number, PathInput])[]): Moment[] {
  const moments: Moment[] = []
  let state = initialState(initiates, [], 0)
  let nowMs = 0
  const take = (one: PathInput): void => {
    const stepped = step(state, one, nowMs)
    moments.push({ before: state, after: stepped.state, actions: stepped.actions, nowMs })
    state = stepped.state
  }
  take({ kind: 'tick' })
  for (const [afterMs, one] of happened) {
    const untilMs = nowMs + afterMs
    for (let tickMs = nextTickMs(state, nowMs); tickMs <= untilMs; ) {
      nowMs = tickMs
      take({ kind: 'tick' })
      tickMs = nextTickMs(state, nowMs)
    }
    nowMs = untilMs
    take(one)
  }
  return moments
}

const property = suite('path machine, properties')

/** From then on a world in which only one endpoint answers. */
function onlyReachable(last: Moment, rttMs: number) {
  return drive(
    last.after,
    (action, later) => {
      if (action.kind === 'send-check' && action.endpoint.address === REACHABLE.address) {
        later(rttMs, { kind: 'check-answered', endpoint: REACHABLE, roundTripMs: rttMs })
      }
    },
    last.nowMs,
  )
}

property('is direct a second and a round trip after a punch named a candidate that answers', () => {
  fc.assert(
    fc.property(fc.boolean(), history, fc.integer({ min: 1, max: 60 }), (initiates, past, rtt) => {
      const last = play(initiates, past).at(-1)
      assert.ok(last)
      if (last.after.pairs.some((pair) => pair.trustedUntilMs > last.nowMs)) return
      const path = onlyReachable(last, rtt)
      path.give({ kind: 'punched', candidates: [{ kind: 'host', ...REACHABLE }] })
      path.runUntil(last.nowMs + 1000 + rtt)
      assert.equal(path.state.phase, { kind: 'direct', endpoint: REACHABLE })
    }),
    RUNS,
  )
})

property('is never stuck: without any hint it finds what answers, while it is wanted', () => {
  fc.assert(
    fc.property(fc.boolean(), history, (initiates, past) => {
      const known: [number, PathInput] = [
        0,
        { kind: 'peer-candidates', candidates: [{ kind: 'host', ...REACHABLE }] },
      ]
      const others = past.filter(([, { kind }]) => kind !== 'peer-candidates')
      const last = play(initiates, [known, ...others]).at(-1)
      assert.ok(last)
      const path = onlyReachable(last, 40)
      path.give({ kind: 'wireguard-sent', message: 'data' })
      // The trust in what worked before, resting; the longest round; a round trip.
      path.runUntil(last.nowMs + 21_500 + 15_000 + 40)
      assert.equal(path.state.phase, { kind: 'direct', endpoint: REACHABLE })
    }),
    RUNS,
  )
})

property('never leaves a proved path for one that is not proved', () => {
  fc.assert(
    fc.property(fc.boolean(), history, (initiates, past) => {
      for (const { before, after, nowMs } of play(initiates, past)) {
        if (after.phase.kind === 'direct') {
          const pair = pairAt(after.pairs, after.phase.endpoint)
          assert.ok(pair !== undefined && pair.trustedUntilMs > nowMs, 'direct means proved')
        } else if (before.phase.kind === 'direct' && after.phase.kind !== 'idle') {
          const pair = pairAt(after.pairs, before.phase.endpoint)
          assert.ok(pair === undefined || pair.trustedUntilMs <= nowMs, 'left while it was proved')
        }
      }
    }),
    RUNS,
  )
})

property('tells WireGuard only endpoints that are proved', () => {
  fc.assert(
    fc.property(fc.boolean(), history, (initiates, past) => {
      for (const { after, actions, nowMs } of play(initiates, past)) {
        for (const action of actions) {
          if (action.kind !== 'use-direct') continue
          const pair = pairAt(after.pairs, action.endpoint)
          assert.ok(pair !== undefined && pair.trustedUntilMs > nowMs)
        }
      }
    }),
    RUNS,
  )
})

property('never restarts a peer in whose session it believes', () => {
  fc.assert(
    fc.property(fc.boolean(), history, (initiates, past) => {
      for (const { after, actions, nowMs } of play(initiates, past)) {
        if (!actions.some(({ kind }) => kind === 'restart-peer')) continue
        assert.ok(after.session.upMs + 180_000 <= nowMs)
      }
    }),
    RUNS,
  )
})

/** Actions of a kind in any second, at most. */
const MOST_A_SECOND: Readonly<Record<string, number>> = {
  'send-check': 100,
  'send-relay-check': 11,
  'send-punch': 5,
  'use-direct': 10,
  'use-relay': 10,
  'refresh-mapping': 20,
  wake: 3,
  'restart-peer': 3,
}

property('orders a bounded number of actions in any second, whatever comes in', () => {
  fc.assert(
    fc.property(
      fc.boolean(),
      fc.array(fc.tuple(fc.nat(15), input), { minLength: 200, maxLength: 400 }),
      (initiates, past) => {
        const done = play(initiates, past).flatMap(({ actions, nowMs }) =>
          actions.map(({ kind }) => ({ kind, nowMs })),
        )
        for (const [kind, most] of Object.entries(MOST_A_SECOND)) {
          const moments = done.filter((one) => one.kind === kind).map(({ nowMs }) => nowMs)
          moments.forEach((ms, index) => {
            const inSecond = moments.slice(index).filter((other) => other < ms + 1000).length
            assert.ok(inSecond <= most, `${inSecond} times ${kind} in a second`)
          })
        }
      },
    ),
    { numRuns: 40 },
  )
})

property('asks for no tick at or before the present', () => {
  fc.assert(
    fc.property(fc.boolean(), history, (initiates, past) => {
      for (const { after, nowMs } of play(initiates, past))
        assert.ok(nextTickMs(after, nowMs) > nowMs)
    }),
    RUNS,
  )
})

property.run()
