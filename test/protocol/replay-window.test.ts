import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ReplayWindow, WINDOW } from '../../protocol/replay-window.ts'

const rule = suite('replay window (SPEC §12.4, RFC 6479)')

rule('takes each counter once, in any order inside the window', () => {
  const window = new ReplayWindow()
  for (const counter of [0, 5, 3, WINDOW + 4, 6]) assert.ok(window.take(counter), `${counter}`)
  for (const counter of [0, 5, 3, WINDOW + 4, 6]) assert.not.ok(window.take(counter), `${counter}`)
})

rule('refuses what is as old as the window is long', () => {
  const window = new ReplayWindow()
  assert.ok(window.take(10_000))
  assert.not.ok(window.take(10_000 - WINDOW))
  assert.ok(window.take(10_000 - WINDOW + 1))
})

rule('may be longer', () => {
  const window = new ReplayWindow(8160)
  assert.ok(window.take(10_000))
  assert.not.ok(window.take(10_000 - 8160))
  assert.ok(window.take(10_000 - 8159))
  assert.not.ok(window.take(10_000 - 8159))
})

rule('agrees with a set that forgets nothing but what is too old', () => {
  const steps = fc.array(
    fc.oneof(fc.integer({ min: 0, max: 6000 }), fc.integer({ min: 2 ** 40, max: 2 ** 40 + 5000 })),
    { maxLength: 400 },
  )
  fc.assert(
    fc.property(steps, (counters) => {
      const window = new ReplayWindow()
      const had = new Set<number>()
      let newest = -1
      for (const counter of counters) {
        const isNew = !had.has(counter) && counter > newest - WINDOW
        assert.is(window.isNewest(counter), counter > newest)
        assert.is(window.take(counter), isNew, `${counter} after ${newest}`)
        had.add(counter)
        newest = Math.max(newest, counter)
      }
    }),
  )
})

rule.run()
