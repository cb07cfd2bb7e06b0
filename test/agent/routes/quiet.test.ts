import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { awaitQuiet } from '../../../agent/routes/quiet.ts'
import { parsePrefix } from '../../../protocol/address.ts'
import { VirtualClock } from '../../../simulations/world/virtual-clock.ts'

const LAN = parsePrefix('10.99.1.0/24')
const rule = suite('routes that are left')
let clock: VirtualClock

rule.before.each(() => {
  clock = new VirtualClock()
})

const quiet = async (
  packets: (ms: number) => number,
  within = 5000,
): Promise<[boolean, number]> => {
  const done = awaitQuiet(
    [LAN],
    { isHeld: () => false, packetsTo: async () => packets(clock.monotonicMs()) },
    clock,
    within,
  )
  let result: boolean | undefined
  void done.then((isQuiet) => {
    result = isQuiet
  })
  let ms = 0
  while (result === undefined && ms < 20_000) {
    await clock.advance(100)
    ms += 100
  }
  return [result ?? false, ms]
}

rule(
  'are quiet when nothing has passed for a while, and not before everybody has heard',
  async () => {
    assert.equal(await quiet(() => 3), [true, 1000])
    assert.equal(await quiet((ms) => Math.min(ms, 3000)), [true, 2500])
  },
)

rule('are not waited for longer than one has time', async () => {
  assert.equal(await quiet((ms) => ms, 2000), [false, 2000])
})

rule.run()
