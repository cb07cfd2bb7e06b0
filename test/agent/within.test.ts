import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { within } from '../../agent/within.ts'
import { VirtualClock } from '../../simulations/world/virtual-clock.ts'

const rule = suite('within')

rule('waits for the task, and no longer than it may', async () => {
  const clock = new VirtualClock()
  const order: string[] = []
  const short = within(clock.sleep(10), 1000, clock).then(() => order.push('short'))
  const endless = within(new Promise(() => undefined), 50, clock).then(() => order.push('endless'))
  await clock.advance(40)
  assert.equal(order, ['short'])
  await clock.advance(20)
  assert.equal(order, ['short', 'endless'])
  await Promise.all([short, endless])
})

rule('throws what the task throws in time, and nothing of it afterwards', async () => {
  const clock = new VirtualClock()
  const fails = async (ms: number): Promise<never> => {
    await clock.sleep(ms)
    throw new Error(`after ${ms}`)
  }
  const outcomes = Promise.allSettled([within(fails(10), 50, clock), within(fails(90), 50, clock)])
  await clock.advance(100)
  assert.equal(
    (await outcomes).map(({ status }) => status),
    ['rejected', 'fulfilled'],
  )
})

rule.run()
