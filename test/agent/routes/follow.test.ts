import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Followed, follow, followDueMs, SERVED_ON_MS } from '../../../agent/routes/follow.ts'
import { takesOver, watchedBy } from '../../../agent/routes/standby.ts'
import { parsePrefix } from '../../../protocol/address.ts'
import type { RouteClaim } from '../../../protocol/belief.ts'
import { openEnvelope } from '../../../protocol/envelope.ts'
import type { DeviceId } from '../../../protocol/keys.ts'
import type { RouteAdvertisement } from '../../../protocol/route-advertisement.ts'
import { testOrganization } from '../../support/organization.ts'

const acme = testOrganization('acme')
const [laptop, phone, tablet] = [acme.device('laptop'), acme.device('phone'), acme.device('tablet')]
const ADDRESS = parsePrefix('10.99.0.1/32')
const rule = suite('following a host prefix, and standing by (SPEC §8.5)')

const claim = (device: typeof laptop, change: Partial<RouteAdvertisement> = {}): RouteClaim => {
  const envelope = openEnvelope(acme.route(device, ADDRESS, change))
  if (envelope.kind !== 'route-advertisement') throw new Error(envelope.kind)
  return { device: device.id, prefix: ADDRESS, envelope }
}
const old = claim(laptop)
const plain = claim(phone, { epoch: 2 })
const planned = claim(phone, { epoch: 2, handOverMs: 500 })
const from = (device: typeof laptop, self: DeviceId): Followed | undefined =>
  follow(undefined, [claim(device)], self, 0)

rule('goes to a higher claim at once', () => {
  assert.is(follow(from(laptop, tablet.id), [plain, old], tablet.id, 9)?.device, phone.id)
})

rule('goes to a planned one when what is under way has arrived, counted from the hearing', () => {
  const heard = follow(from(laptop, tablet.id), [planned, old], tablet.id, 100)
  assert.is(heard?.device, laptop.id)
  assert.is(followDueMs(heard as Followed, 100), 600)
  const waiting = follow(heard, [planned, old], tablet.id, 599)
  assert.is(waiting?.device, laptop.id)
  assert.is(follow(waiting, [planned, old], tablet.id, 600)?.device, phone.id)
})

rule('does not wait for a holder that is no more', () => {
  assert.is(follow(from(laptop, tablet.id), [planned], tablet.id, 100)?.device, phone.id)
})

rule('forgets a planned one that is outdone or withdrawn meanwhile', () => {
  const heard = follow(from(laptop, tablet.id), [planned, old], tablet.id, 100)
  assert.is(follow(heard, [old], tablet.id, 200)?.next, undefined)
  const third = claim(tablet, { epoch: 3 })
  assert.is(follow(heard, [third, planned, old], phone.id, 200)?.device, tablet.id)
})

rule('has the new holder answer at once, and the old one for a while', () => {
  assert.is(follow(from(laptop, phone.id), [planned, old], phone.id, 100)?.device, phone.id)
  const left = follow(from(laptop, laptop.id), [planned, old], laptop.id, 100)
  assert.is(left?.device, phone.id)
  assert.is(left?.servedUntilMs, 100 + 500 + SERVED_ON_MS)
  // Its own withdrawal ends that at once.
  assert.ok((follow(from(laptop, laptop.id), [planned], laptop.id, 100)?.servedUntilMs ?? 0) < 0)
})

rule('follows nobody where nobody claims', () => {
  assert.is(follow(from(laptop, tablet.id), [], tablet.id, 9), undefined)
})

const stand = (device: typeof laptop, priority: number): RouteClaim =>
  claim(device, { state: 'withdrawn', priority })
const standbys = [stand(phone, 20), stand(tablet, 10)]
const takes = (self: DeviceId, up: readonly DeviceId[], reachesAnybody = true): boolean =>
  takesOver({
    ...{ self, holder: laptop.id, standbys, reachesAnybody },
    isUp: (device) => up.includes(device),
  })

rule('takes over where the holder is not reached, the highest priority first', () => {
  assert.equal([takes(phone.id, []), takes(phone.id, [laptop.id])], [true, false])
  assert.equal([takes(tablet.id, [phone.id]), takes(tablet.id, [])], [false, true])
})

rule('takes nothing over that it does not stand by for, nor when it reaches nobody', () => {
  assert.is(takes(acme.device('watch').id, []), false)
  assert.is(takes(phone.id, [], false), false)
})

rule('watches the holder and those that go before', () => {
  const view = { holder: laptop.id, standbys }
  assert.equal(watchedBy({ self: phone.id, ...view }), [laptop.id])
  assert.equal(watchedBy({ self: tablet.id, ...view }), [laptop.id, phone.id])
  assert.equal(watchedBy({ self: laptop.id, ...view }), [])
})

rule.run()
