import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { newBunches } from '../../../agent/path/bunches.ts'
import { VirtualClock } from '../../../simulations/world/virtual-clock.ts'

const rule = suite('bunches')

rule('take up once what comes several times', async () => {
  const clock = new VirtualClock()
  const bunches = newBunches(clock)
  let [count, others] = [0, 0]
  for (let n = 0; n < 3; n++) bunches.add('network', () => (count += 1))
  bunches.add('other', () => (others += 1))
  assert.equal([count, others], [0, 0])
  await clock.advance(20)
  assert.equal([count, others], [1, 1])
  bunches.add('network', () => (count += 1))
  await clock.advance(20)
  assert.is(count, 2)
})

rule('take up the first at once, and those soon after it together', async () => {
  const clock = new VirtualClock()
  const bunches = newBunches(clock)
  let count = 0
  const prompt = () => bunches.addPrompt('relays', () => (count += 1))
  prompt()
  assert.is(count, 1)
  for (let n = 0; n < 3; n++) prompt()
  assert.is(count, 1)
  await clock.advance(20)
  assert.is(count, 2)
  await clock.advance(20)
  prompt()
  assert.is(count, 3)
  await clock.advance(20)
  assert.is(count, 3)
})

rule('end', async () => {
  const clock = new VirtualClock()
  const bunches = newBunches(clock)
  let count = 0
  bunches.addPrompt('relays', () => (count += 1))
  bunches.addPrompt('relays', () => (count += 1))
  bunches.close()
  await clock.advance(100)
  assert.is(count, 1)
})

rule.run()
