import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { firstShares } from '../../../agent/stack/limits.ts'
import { newReceiveWindow, windowAfter } from '../../../agent/stack/receive-window.ts'

const rule = suite('receive window')
const MB = 1024 * 1024

rule('doubles when a quarter of it is used in a round trip', () => {
  const use = { bytes: 10_000, roundTripMs: 50, spare: MB }
  const once = windowAfter(newReceiveWindow(65_535, 0), use, 10)
  assert.equal(once, { size: 65_535, roundMs: 0, used: 10_000 })
  assert.equal(windowAfter(once, use, 20), { size: 131_070, roundMs: 20, used: 0 })
})

rule('stays as it is for a reader that takes its time', () => {
  const use = { bytes: 60_000, roundTripMs: 50, spare: MB }
  const late = windowAfter(newReceiveWindow(65_535, 0), use, 60)
  assert.equal(late, { size: 65_535, roundMs: 60, used: 0 })
})

rule('grows by no more than is spare, and never beyond the limit', () => {
  const use = { bytes: 60_000, roundTripMs: 50, spare: 1000 }
  assert.is(windowAfter(newReceiveWindow(65_535, 0), use, 10).size, 66_535)
  assert.is(windowAfter(newReceiveWindow(65_535, 0), { ...use, spare: -5 }, 10).size, 65_535)
  const wide = { bytes: 3 * MB, roundTripMs: 50, spare: 100 * MB }
  assert.is(windowAfter(newReceiveWindow(3 * MB, 0), wide, 10).size, 4 * MB)
})

rule('begins smaller the more connections there are', () => {
  assert.equal(firstShares(0), { inFlight: 96 * 1024, window: 65_535 })
  assert.equal(firstShares(1), { inFlight: 96 * 1024, window: 65_535 })
  assert.equal(firstShares(1024), { inFlight: 32 * 1024, window: 32 * 1024 })
  assert.equal(firstShares(4096), { inFlight: 8 * 1024, window: 16 * 1024 })
})

rule.run()
