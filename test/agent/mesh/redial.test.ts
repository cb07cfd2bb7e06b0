import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { fraction, redialDelay, startRedial } from '../../../agent/mesh/redial.ts'
import type { Clock } from '../../../protocol/clock.ts'

const rule = suite('redial')

rule(
  'waits half a second, then twice as long each time, up to 30 s, less what chance takes off',
  () => {
    const full = [1, 2, 3, 4, 5, 6, 7, 8, 100, 1e9].map((failures) => redialDelay(failures, 0))
    assert.equal(full, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000, 30000])
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1e6 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (failures, chance) => {
          const delay = redialDelay(failures, chance)
          assert.ok(delay >= 350 && delay <= 30_000)
        },
      ),
    )
  },
)

rule(
  'rests after so many failures, twice as long each time, up to what is the longest then',
  () => {
    let longest = 3_600_000
    const rest = { after: 4, firstMs: 60_000, longestMs: () => longest }
    const full = [1, 2, 3, 4, 5, 6, 9, 10, 1e9].map((failures) => redialDelay(failures, 0, rest))
    assert.equal(full.slice(0, 6), [500, 1000, 2000, 60_000, 120_000, 240_000])
    assert.equal(full.slice(6), [1_920_000, 3_600_000, 3_600_000])
    longest = 240_000
    assert.is(redialDelay(100, 0, rest), 240_000)
  },
)

rule('takes a fraction from random bytes, from 0 to below 1', () => {
  assert.is(
    fraction(() => Uint8Array.of(0, 0, 0)),
    0,
  )
  assert.ok(fraction(() => Uint8Array.of(255, 255, 255)) < 1)
})

/** A clock on which nothing happens but what a test lets happen. */
const handClock = () => {
  const timers: { at: number; task: () => void }[] = []
  let now = 0
  const clock = {
    after: (ms: number, task: () => void) => {
      const timer = { at: now + ms, task }
      timers.push(timer)
      return { cancel: () => void timers.splice(timers.indexOf(timer) >>> 0, 1) }
    },
  } as unknown as Clock
  /** To the next timer; its time, or undefined. */
  const step = async (): Promise<number | undefined> => {
    const next = timers.toSorted((a, b) => a.at - b.at)[0]
    if (next === undefined) return undefined
    timers.splice(timers.indexOf(next), 1)
    now = next.at
    next.task()
    await new Promise((resolve) => setImmediate(resolve))
    return now
  }
  return { clock, step }
}
const noChance = (n: number): Uint8Array => new Uint8Array(n)

rule('tries for ever, ever more rarely, and rests when it has what it wants', async () => {
  const { clock, step } = handClock()
  let tries = 0
  const redial = startRedial(async () => ++tries === 10, clock, noChance)
  redial.hint()
  const times: (number | undefined)[] = []
  for (let n = 0; n < 11; n++) times.push(await step())
  assert.equal(times, [0, 500, 1500, 3500, 7500, 15500, 31500, 61500, 91500, 121500, undefined])
})

rule('ends a rest at once when something has changed, and is eager again', async () => {
  const { clock, step } = handClock()
  const rest = { after: 2, firstMs: 60_000, longestMs: () => 600_000 }
  const redial = startRedial(async () => false, clock, noChance, rest)
  redial.hint()
  assert.equal([await step(), await step(), await step()], [0, 500, 60_500])
  redial.hint()
  assert.equal([await step(), await step(), await step()], [60_500, 61_000, 121_000])
})

rule('tries at once, and eagerly again, when something has changed', async () => {
  const { clock, step } = handClock()
  const redial = startRedial(async () => false, clock, noChance)
  redial.hint()
  for (let n = 0; n < 8; n++) await step()
  redial.hint()
  assert.equal([await step(), await step()], [61_500, 62_000])
})

rule('breaks off a try that runs when there is something better', async () => {
  const { clock, step } = handClock()
  const reasons: unknown[] = []
  let tries = 0
  const redial = startRedial(
    async (_failures, signal) => {
      if (++tries > 1) return true
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      reasons.push(signal.reason)
      return false
    },
    clock,
    noChance,
  )
  redial.hint()
  await step()
  redial.hint()
  await new Promise((resolve) => setImmediate(resolve))
  await step()
  assert.equal([tries, reasons.length, await step()], [2, 1, undefined])
})

rule('comes back at once to what had worked, and waits for what ends at once', async () => {
  const { clock, step } = handClock()
  let tries = 0
  const redial = startRedial(async () => ++tries > 0, clock, noChance)
  redial.hint()
  await step()
  redial.lost(60_000)
  const first = await step()
  redial.lost(100)
  assert.equal([first, await step()], [50, 550])
})

rule('does nothing any more when stopped', async () => {
  const { clock, step } = handClock()
  const redial = startRedial(async () => false, clock, noChance)
  redial.hint()
  await step()
  redial.stop()
  redial.hint()
  redial.lost(0)
  assert.is(await step(), undefined)
})

rule.run()
