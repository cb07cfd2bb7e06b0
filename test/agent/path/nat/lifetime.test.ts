import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  type Lifetime,
  lifetimeOf,
  longestMeasurement,
  nextWaits,
} from '../../../../agent/path/nat/lifetime.ts'
import { startLifetimeSearch } from '../../../../agent/path/nat/lifetime-search.ts'
import { VirtualClock } from '../../../../simulations/world/virtual-clock.ts'

const rule = suite('mapping lifetime (RFC 5780 §4.6)')

/** What the search finds before a NAT that forgets after `truth` seconds, and how long it takes.
 *  @param isLost is the answer to the nth trial lost? */
async function search(
  truth: number,
  longest: number,
  isLost: (n: number) => boolean = () => false,
): Promise<Lifetime & { readonly took: number }> {
  const clock = new VirtualClock()
  let trials = 0
  const { result } = startLifetimeSearch(longest, async (wait, signal) => {
    const number = trials++
    await clock.sleep(wait * 1000 + 4000, signal)
    return wait < truth && !isLost(number)
  })
  let found: Lifetime | undefined
  void result.then((lifetime) => {
    found = lifetime
  })
  while (found === undefined) await clock.advance(1000)
  return { ...found, took: clock.monotonicMs() / 1000 }
}

rule('is found to a tenth, or a second, whatever it is, in the time that is said', async () => {
  for (const truth of [1, 5.5, 7, 12, 30.5, 31, 119, 121, 180.5, 299]) {
    const { atLeast, lessThan = Infinity, took } = await search(truth, 300)
    const what = `${truth} s: ${atLeast} to ${lessThan} in ${took} s`
    assert.ok(atLeast < truth && truth <= lessThan, what)
    assert.ok(lessThan - atLeast <= Math.max(1, lessThan / 10), what)
    assert.ok(took <= longestMeasurement(300), what)
  }
})

rule('is no more than told to wait for', async () => {
  const { atLeast, lessThan, took } = await search(1000, 60)
  assert.equal([atLeast, lessThan], [60, undefined])
  assert.ok(took < 70, `${took}`)
})

rule('is found soon where it is short: longer waits are given up', async () => {
  assert.ok((await search(12, 900)).took < 60)
})

rule('is not taken for shorter because one answer was lost', async () => {
  const { atLeast } = await search(1000, 120, (n) => n === 2)
  assert.is(atLeast, 120)
})

rule('is what was proved: that a mapping lived counts more than that one did not', () => {
  const outcomes = [
    { wait: 30, isAlive: false },
    { wait: 60, isAlive: true },
    { wait: 90, isAlive: false },
  ]
  assert.equal(lifetimeOf(outcomes), { atLeast: 60, lessThan: 90 })
  assert.equal(nextWaits(outcomes, 300), [67.5, 75, 82.5])
  assert.equal(lifetimeOf([{ wait: 5, isAlive: false }]), { atLeast: 0, lessThan: 5 })
})

rule('ends at once when it is stopped or a trial fails, with the reason', async () => {
  const clock = new VirtualClock()
  const stopped = startLifetimeSearch(300, async (wait, signal) => {
    await clock.sleep(wait * 1000, signal)
    return true
  })
  stopped.stop()
  const failing = startLifetimeSearch(300, async (wait, signal) => {
    if (wait === 5) throw new Error('the STUN server does not answer')
    await clock.sleep(wait * 1000, signal)
    return true
  })
  const reasons = await Promise.all(
    [stopped, failing].map(({ result }) => result.catch((error: unknown) => String(error))),
  )
  assert.equal(reasons, [
    'Error: the measurement was stopped',
    'Error: the STUN server does not answer',
  ])
  assert.is(clock.monotonicMs(), 0)
})

rule.run()
