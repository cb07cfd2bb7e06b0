import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { EXIT_OFF, type ExitPreference, exitRouters } from '../../../agent/routes/exit-choice.ts'
import type { DeviceId } from '../../../protocol/keys.ts'
import { router } from './routers.ts'

const [NEAR, FAR, UNKNOWN, LEAVING] = ['near', 'far', 'unknown', 'leaving'] as DeviceId[] as [
  DeviceId,
  DeviceId,
  DeviceId,
  DeviceId,
]
const EXITS = [
  router(LEAVING, { isDraining: true, roundTripMs: 1 }),
  router(UNKNOWN),
  router(FAR, { roundTripMs: 80 }),
  router(NEAR, { roundTripMs: 20 }),
]
const order = (preference: ExitPreference, current?: DeviceId): readonly DeviceId[] =>
  exitRouters(EXITS, preference, current).map(({ device }) => device)
const rule = suite('exit choice')

rule('takes the nearest of those that stay, one that was not measured after them', () => {
  assert.equal(order({ kind: 'auto' }), [NEAR, FAR, UNKNOWN, LEAVING])
})

rule('stays with the one in use, though another is nearer, until it drains', () => {
  assert.equal(order({ kind: 'auto' }, FAR), [FAR, NEAR, UNKNOWN, LEAVING])
  assert.equal(order({ kind: 'auto' }, LEAVING), [NEAR, FAR, UNKNOWN, LEAVING])
})

rule('settles the same way everywhere where nothing was measured', () => {
  const [a, b] = [router('a' as DeviceId), router('b' as DeviceId)]
  for (const exits of [
    [a, b],
    [b, a],
  ]) {
    assert.equal(
      exitRouters(exits, { kind: 'auto' }, undefined).map(({ device }) => device),
      ['a', 'b'],
    )
  }
})

rule('takes the device that was named and no other, and none where it is off', () => {
  assert.equal(order({ kind: 'device', device: FAR }), [FAR])
  assert.equal(order({ kind: 'device', device: 'gone' as DeviceId }, FAR), [])
  assert.equal(order(EXIT_OFF, FAR), [])
})

rule.run()
