import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  answered,
  DOWN_AFTER,
  overdue,
  type ReachHealth,
  unasked,
} from '../../../agent/routes/reach-health.ts'

const rule = suite('reach health')

/** Asked at 0, answered every second from `fromMs` to `toMs`. */
function answeredFor(health: ReachHealth, fromMs: number, toMs: number): ReachHealth {
  let next = health
  for (let nowMs = fromMs; nowMs <= toMs; nowMs += 1000) next = answered(next, 40, nowMs)
  return next
}
function fails(health: ReachHealth, fromMs: number): ReachHealth {
  let next = health
  for (let lost = 0; lost < DOWN_AFTER.unanswered; lost += 1)
    next = overdue(next, fromMs + 250 * lost)
  assert.is(next.isUp, false)
  return next
}

rule('knows for how long it answered without a break, also when it is down', () => {
  assert.is(unasked(0).provedMs, 0)
  assert.is(answeredFor(unasked(0), 700, 700).provedMs, 0)
  const up = answeredFor(unasked(0), 1000, 7000)
  assert.is(up.provedMs, 6000)
  assert.is(fails(up, 8000).provedMs, 6000)
})

rule('counts anew after one that was lost, and after it was down', () => {
  const up = answeredFor(unasked(0), 1000, 7000)
  assert.is(answeredFor(overdue(up, 8000), 8500, 10_500).provedMs, 2000)
  assert.is(answeredFor(fails(up, 8000), 20_000, 23_000).provedMs, 3000)
})

rule('has proved nothing where it never answered', () => {
  assert.is(fails(unasked(0), 800).provedMs, 0)
  assert.is(answered(overdue(unasked(0), 800), 900, 900).provedMs, 0)
})

rule.run()
