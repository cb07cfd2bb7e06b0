import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { handed, handedDueMs, NOTHING_HANDED } from '../../../agent/routes/late.ts'
import { LATE_MS } from '../../../agent/tunnel/backend.ts'
import { type Prefix, parsePrefix } from '../../../protocol/address.ts'
import type { DeviceId } from '../../../protocol/keys.ts'
import { testOrganization } from '../../support/organization.ts'

const acme = testOrganization('acme')
const [laptop, phone, tablet] = ['laptop', 'phone', 'tablet'].map(
  (name) => acme.device(name).id,
) as [DeviceId, DeviceId, DeviceId]
const [X, Y] = [parsePrefix('10.99.0.1/32'), parsePrefix('192.168.2.0/24')]
const held = (...pairs: readonly [Prefix, DeviceId][]): ReadonlyMap<Prefix, DeviceId> =>
  new Map(pairs)
const leftOf = (found: typeof NOTHING_HANDED): readonly unknown[] =>
  [...found.left].map(([prefix, { device, untilMs }]) => [prefix, device, untilMs])
const before = handed(NOTHING_HANDED, held([X, laptop], [Y, laptop]), 0)
const rule = suite('which device a prefix has left just now (SPEC §8.8)')

rule('nobody where a prefix is new, stays, or is nobody’s now', () => {
  assert.equal(leftOf(before), [])
  assert.equal(leftOf(handed(before, held([X, laptop], [Y, laptop]), 9)), [])
  assert.equal(leftOf(handed(before, held([Y, laptop]), 9)), [])
  // Nor where another takes up later what nobody had.
  assert.equal(leftOf(handed(handed(before, held(), 9), held([X, phone]), 10)), [])
  assert.is(handedDueMs(before), Infinity)
})

rule('the one before, for so long and of that prefix alone', () => {
  const moved = handed(before, held([X, phone], [Y, laptop]), 100)
  assert.equal(leftOf(moved), [[X, laptop, 100 + LATE_MS]])
  assert.is(handedDueMs(moved), 100 + LATE_MS)
  const again = handed(moved, held([X, phone], [Y, laptop]), 99 + LATE_MS)
  assert.equal(leftOf(again), [[X, laptop, 100 + LATE_MS]])
  assert.equal(leftOf(handed(again, held([X, phone], [Y, laptop]), 100 + LATE_MS)), [])
})

rule('the last one before alone, where it moves again', () => {
  const moved = handed(before, held([X, phone]), 100)
  assert.equal(leftOf(handed(moved, held([X, tablet]), 200)), [[X, phone, 200 + LATE_MS]])
  assert.equal(leftOf(handed(moved, held([X, laptop]), 200)), [[X, phone, 200 + LATE_MS]])
  assert.equal(leftOf(handed(moved, held(), 200)), [])
})

rule.run()
