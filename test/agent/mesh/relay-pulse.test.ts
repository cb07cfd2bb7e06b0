import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  beat,
  IN_USE_MS,
  isDoubted,
  NEW_PULSE,
  type PulseAction,
  type PulseInput,
  type RelayPulse,
  type Way,
  waysOf,
} from '../../../agent/mesh/relay-pulse.ts'

const TICK_MS = 100

interface Network {
  readonly roundTripMs: number
  /** Does a ping by this way at this moment come back? */
  answers(way: Way, atMs: number): boolean
  /** Are datagrams of users sent at this moment, each tenth of a second? */
  uses(atMs: number): boolean
}

interface Seen {
  readonly atMs: number
  readonly pulse: RelayPulse
  readonly actions: readonly PulseAction[]
}

/** A relay's pulse in a network that behaves so, with UDP offered at the start. */
function live(network: Network, untilMs: number, isOffered = true): readonly Seen[] {
  const seen: Seen[] = []
  const due: { atMs: number; input: PulseInput }[] = []
  let pulse = NEW_PULSE
  let isProved = false
  const give = (input: PulseInput, atMs: number): void => {
    const step = beat(pulse, input, atMs)
    pulse = step.pulse
    seen.push({ atMs, ...step })
    for (const action of step.actions) {
      if (action.kind !== 'ping' || !network.answers(action.way, atMs)) continue
      const { roundTripMs } = network
      const isProof = action.way === 'udp' && isProved
      isProved ||= action.way === 'udp'
      due.push({
        atMs: atMs + roundTripMs,
        input: { kind: 'pong', way: action.way, roundTripMs, isProof },
      })
    }
  }
  if (isOffered) give({ kind: 'offered' }, 0)
  for (let atMs = 0; atMs <= untilMs; atMs += 10) {
    for (const next of due.splice(0)) {
      if (next.atMs <= atMs) give(next.input, atMs)
      else due.push(next)
    }
    if (atMs % TICK_MS !== 0) continue
    if (network.uses(atMs)) give({ kind: 'used' }, atMs)
    give({ kind: 'tick' }, atMs)
  }
  return seen
}

const always = (): boolean => true
const phases = (seen: readonly Seen[]): readonly string[] =>
  seen
    .map(({ pulse }) => pulse.udp.phase)
    .filter((phase, index, all) => index === 0 || phase !== all[index - 1])
const pings = (seen: readonly Seen[], way: Way): number =>
  seen.flatMap(({ actions }) => actions).filter((each) => each.kind === 'ping' && each.way === way)
    .length
const uses = (seen: readonly Seen[]): readonly string[] =>
  seen.flatMap(({ actions }) => actions.flatMap((each) => (each.kind === 'use' ? [each.use] : [])))
const rule = suite('relay pulse (SPEC §12.3)')

rule('uses UDP two round trips after the first datagram, and asks for it once', () => {
  const seen = live({ roundTripMs: 40, answers: always, uses: always }, 5000)
  assert.equal(phases(seen), ['idle', 'probing', 'up'])
  assert.is(seen.find(({ pulse }) => pulse.udp.phase === 'up')?.atMs, 80)
  assert.equal(uses(seen), ['on'])
  const full = seen
    .flatMap(({ actions }) => actions)
    .filter((each) => each.kind === 'ping' && each.isFull)
  assert.is(full.length, 2)
})

rule('asks nothing while nobody sends, and says so when it stops to use UDP', () => {
  const idle = live({ roundTripMs: 40, answers: always, uses: () => false }, 60_000)
  assert.equal([pings(idle, 'udp'), pings(idle, 'stream')], [0, 0])
  const once = live({ roundTripMs: 40, answers: always, uses: (atMs) => atMs < 1000 }, 60_000)
  assert.equal(uses(once), ['on', 'off'])
  assert.equal(phases(once), ['idle', 'probing', 'up', 'idle'])
  assert.ok(pings(once, 'udp') <= 2 + (1000 + IN_USE_MS) / 500 + 1, `${pings(once, 'udp')} pings`)
})

rule('stays with the stream where UDP is blocked, and tries ever more rarely', () => {
  const seen = live({ roundTripMs: 40, answers: (way) => way === 'stream', uses: always }, 300_000)
  assert.ok(seen.every(({ pulse }) => waysOf(pulse).join() === 'stream'))
  const udp = pings(seen, 'udp')
  assert.ok(udp >= 16 && udp <= 40, `${udp} pings by UDP in 5 min`)
  assert.ok(seen.every(({ pulse, atMs }) => !isDoubted(pulse, atMs)))
})

rule('uses both ways while a pong is late, then the stream, and UDP again when it works', () => {
  const answers = (way: Way, atMs: number): boolean =>
    way === 'stream' || atMs < 5000 || atMs >= 12_000
  const seen = live({ roundTripMs: 40, answers, uses: always }, 30_000)
  assert.equal(phases(seen), ['idle', 'probing', 'up', 'doubted', 'probing', 'up'])
  assert.equal(uses(seen), ['on', 'both', 'off', 'on'])
  const doubted = seen.find(({ pulse }) => pulse.udp.phase === 'doubted')
  assert.ok((doubted?.atMs ?? Infinity) <= 5900, `doubted at ${doubted?.atMs}`)
  assert.ok(seen.every(({ pulse, atMs }) => !isDoubted(pulse, atMs + 1) || atMs < 6000))
})

rule('survives a pong that is lost without a change of ways but for a moment', () => {
  const lost = new Set([5000, 5100, 5200, 5300, 5400])
  const answers = (way: Way, atMs: number): boolean => way === 'stream' || !lost.has(atMs)
  const seen = live({ roundTripMs: 40, answers, uses: always }, 20_000)
  assert.equal(phases(seen), ['idle', 'probing', 'up', 'doubted', 'up'])
})

/** Milliseconds from the cut until the relay is doubted. */
function doubtAfter(roundTripMs: number, cutMs: number, isOffered: boolean): number {
  const answers = (_: Way, atMs: number): boolean => atMs < cutMs
  const seen = live({ roundTripMs, answers, uses: always }, cutMs + 10_000, isOffered)
  const found = seen.find(({ pulse, atMs }) => atMs >= cutMs && isDoubted(pulse, atMs))
  return (found?.atMs ?? Infinity) - cutMs
}

rule('doubts a relay that has fallen silent within 2.7 s, by either way, however far it is', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 600 }),
      fc.integer({ min: 3000, max: 9000 }),
      fc.boolean(),
      (roundTripMs, cutMs, isOffered) => {
        const afterMs = doubtAfter(roundTripMs, cutMs, isOffered)
        assert.ok(afterMs <= 2700, `${afterMs} ms after the cut`)
        if (roundTripMs <= 100) assert.ok(afterMs <= 1100, `${afterMs} ms after the cut`)
      },
    ),
  )
})

rule('doubts it until something comes, in use or not', () => {
  const answers = (_: Way, atMs: number): boolean => atMs < 5000
  const seen = live({ roundTripMs: 40, answers, uses: (atMs) => atMs < 7000 }, 60_000)
  const last = seen.at(-1)?.pulse ?? NEW_PULSE
  assert.ok(isDoubted(last, 60_000))
  const { pulse } = beat(last, { kind: 'heard', way: 'stream' }, 60_000)
  assert.not.ok(isDoubted(pulse, 61_000))
})

rule('never doubts a relay that answers in time', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 400 }), fc.boolean(), (roundTripMs, isOffered) => {
      const network = { roundTripMs, answers: always, uses: always }
      for (const { pulse, atMs } of live(network, 20_000, isOffered)) {
        assert.not.ok(isDoubted(pulse, atMs), `at ${atMs}`)
      }
    }),
  )
})

rule('does without UDP when the offer is taken back', () => {
  const seen = live({ roundTripMs: 40, answers: always, uses: always }, 2000)
  const { pulse } = beat(seen.at(-1)?.pulse ?? NEW_PULSE, { kind: 'withdrawn' }, 2000)
  assert.equal([pulse.udp.phase, waysOf(pulse)], ['none', ['stream']])
})

rule.run()
