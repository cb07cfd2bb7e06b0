import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { eventsNamed, roamEvents } from '../../../simulations/roam/events.ts'
import {
  bothRecoveredMs,
  isFlowing,
  lostBetween,
  recoveredMs,
} from '../../../simulations/roam/recovery.ts'
import { followedMs } from '../../../simulations/roam/switches.ts'
import { recoveryCell, recoverySummary, recoveryTable } from '../../../simulations/roam/table.ts'

const rule = suite('recovery after an event')

/** One every 50 ms from 0 on: `.` answered after 40 ms, `x` never. */
function echoes(pattern: string) {
  return [...pattern].map((each, index) => ({
    sentMs: index * 50,
    receivedMs: each === '.' ? index * 50 + 40 : undefined,
  }))
}

rule('is the first of ten answers in a row to what was sent after the event', () => {
  assert.is(recoveredMs(echoes('....xxxx..........'), 120), 8 * 50 + 40 - 120)
  assert.is(recoveredMs(echoes('....xxxx.x.........'), 120), undefined)
  assert.is(recoveredMs(echoes('....xxxx.x..........'), 120), 10 * 50 + 40 - 120)
})

rule('is at once where nothing was lost, and never where all was', () => {
  assert.is(recoveredMs(echoes('.'.repeat(20)), 100), 40)
  assert.is(recoveredMs(echoes('..........xxxxxxxxxxxxx'), 500), undefined)
  assert.is(recoveredMs([], 0), undefined)
})

rule('of both directions is that of the later one', () => {
  const [soon, late, never] = ['x..........', 'xxx..........', 'xxxx'].map(echoes)
  assert.is(bothRecoveredMs(soon ?? [], late ?? [], 0), 3 * 50 + 40)
  assert.is(bothRecoveredMs(late ?? [], soon ?? [], 0), 3 * 50 + 40)
  assert.is(bothRecoveredMs(soon ?? [], never ?? [], 0), undefined)
})

rule('a pair flows where the last twenty that are due were answered', () => {
  assert.ok(isFlowing(echoes(`xx${'.'.repeat(20)}`), 22 * 50 + 500))
  assert.ok(isFlowing(echoes(`xx${'.'.repeat(20)}xxx`), 22 * 50 + 500))
  assert.not.ok(isFlowing(echoes(`${'.'.repeat(20)}x`), 22 * 50 + 500))
  assert.not.ok(isFlowing(echoes('.'.repeat(19)), 10_000))
  assert.not.ok(isFlowing([], 10_000))
})

rule('losses are counted in their stretch of time', () => {
  assert.is(lostBetween(echoes('x.xx.x'), 50, 250), 2)
})

rule('a change of path has been followed at the fifth answer in a row by it', () => {
  const timed = (...roundTrips: (number | undefined)[]) =>
    roundTrips.map((ms, index) => ({
      sentMs: index * 10,
      receivedMs: ms === undefined ? undefined : index * 10 + ms,
    }))
  assert.is(followedMs(timed(40, 41, 9, 9, 9, 9, 9), 0, 'fast'), 60 + 9)
  assert.is(followedMs(timed(9, 9, 9, 9, 40, 9, 9), 0, 'fast'), undefined)
  assert.is(followedMs(timed(9, 120, 120, 41, 41, 41, undefined, 41, 41), 0, 'steady'), 80 + 41)
  assert.is(followedMs(timed(121, 120, 122, 120, 125, 121), 0, 'steady'), undefined)
})

rule('events are named by parts of their names, and one that is in none is refused', () => {
  const all = roamEvents(1000)
  assert.is(eventsNamed(all, '').length, all.length)
  assert.equal(
    [...new Set(eventsNamed(all, 'sleeps, RESTARTS').map(({ name }) => name))],
    ['A sleeps 1 s, then wakes', 'all servers dead: A restarts'],
  )
  assert.throws(
    () => eventsNamed(all, 'sleeps,nap'),
    /no event "nap" \(public address of A changes; /,
  )
})

rule('cells and tables say how long, the longest, and how often never', () => {
  const run = (recoveredMs: number | undefined) => ({ recoveredMs })
  assert.is(recoveryCell([]), '-')
  assert.is(recoveryCell([run(200), run(210)]), '0.20')
  assert.is(
    recoveryCell([run(200), run(210), run(900), run(undefined)]),
    '0.21 (to 0.90), fail 1/4',
  )
  assert.is(recoveryCell([run(undefined)]), 'fail 1/1')
  const common = { product: 'x', event: 'NAT forgets', pair: 'port+port', run: 1 }
  const recoveries = [
    { ...common, server: 'alive', recoveredMs: 300 },
    { ...common, server: 'dead', recoveredMs: undefined },
  ] as const
  assert.match(
    recoveryTable(['x', 'y'], recoveries),
    /^NAT forgets +port\+port +dead +fail 1\/1 +-$/m,
  )
  const text = recoverySummary(['x'], recoveries)
  assert.match(text, /^x +alive +1 of 1 +0\.30 +0\.30 +0\.30$/m)
  assert.match(text, /^x +dead +0 of 1 +- +- +-$/m)
})

rule.run()
