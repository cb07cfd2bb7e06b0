import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { nextClaim, type RouteClaimBody, type RouteWish } from '../../../agent/routes/next-claim.ts'
import { parsePrefix } from '../../../protocol/address.ts'
import type { DeviceId } from '../../../protocol/keys.ts'
import type { RouteAdvertisement } from '../../../protocol/route-advertisement.ts'
import { parseRouteProbe } from '../../../protocol/route-probe.ts'
import { NOON } from '../../support/organization.ts'

const HOST = parsePrefix('10.99.0.1/32')
const LAN = parsePrefix('10.1.0.0/24')
const rule = suite('next claim')

const known = (change: Partial<RouteAdvertisement> = {}): RouteAdvertisement => ({
  ...{ sequence: 5, issuedAt: NOON, notAfter: NOON, prefix: HOST },
  ...{ epoch: 3, metric: 100, state: 'active' },
  ...change,
})
const next = (
  said: RouteAdvertisement | undefined,
  wish: RouteWish,
  isHolder = true,
): RouteClaimBody | undefined => nextClaim(said?.prefix ?? HOST, said, wish, { isHolder, epoch: 9 })

rule('outdoes every claim to take a host prefix, and not when it holds it already', () => {
  const claim = { prefix: HOST, state: 'active', epoch: 9, metric: 100 }
  assert.equal(next(undefined, { kind: 'advertise' }), claim)
  assert.equal(next(known(), { kind: 'advertise' }, false), claim)
  assert.is(next(known(), { kind: 'advertise' }), undefined)
})

rule('keeps the epoch of a router that is told the same or comes back', () => {
  const router = known({ prefix: LAN })
  assert.is(next(router, { kind: 'advertise' }, false), undefined)
  assert.is(next(router, { kind: 'advertise', metric: 50 }, false)?.epoch, 3)
  assert.is(next({ ...router, state: 'draining' }, { kind: 'advertise' }, false)?.state, 'active')
})

rule('keeps what an advertisement says besides, but for requests', () => {
  const probe = parseRouteProbe('icmp:10.99.0.1')
  const said = known({ probe, priority: 7, handOverMs: 500, successor: 'x' as DeviceId })
  const { handOverMs, successor, ...rest } = next(said, { kind: 'drain' }) ?? {}
  assert.equal([handOverMs, successor], [undefined, undefined])
  assert.is(next(known(), { kind: 'drain', handOverMs: 700 })?.handOverMs, 700)
  assert.equal(rest, { prefix: HOST, state: 'draining', epoch: 3, metric: 100, probe, priority: 7 })
})

rule('stands by without claiming, and claims on where it holds the prefix', () => {
  assert.equal(next(undefined, { kind: 'stand-by', priority: 9 }), {
    ...{ prefix: HOST, state: 'withdrawn', epoch: 0, metric: 100, priority: 9 },
  })
  assert.is(next(known(), { kind: 'stand-by', priority: 9 })?.state, 'active')
  assert.is(next(known({ priority: 9 }), { kind: 'stand-by', priority: 9 }), undefined)
})

rule('drains and hands over only what it claims', () => {
  for (const wish of [
    { kind: 'drain' },
    { kind: 'hand-over', successor: 'x' as DeviceId },
  ] as const) {
    assert.is(next(undefined, wish), undefined)
    assert.is(next(known({ state: 'withdrawn', priority: 1 }), wish), undefined)
    assert.ok(next(known(), wish))
  }
})

rule('gives up everything with withdraw, standing by too, and once', () => {
  const nothing = { prefix: HOST, state: 'withdrawn', epoch: 3, metric: 100 }
  assert.equal(next(known({ priority: 9 }), { kind: 'withdraw' }), nothing)
  assert.equal(next(known({ state: 'withdrawn', priority: 9 }), { kind: 'withdraw' }), nothing)
  assert.is(next(known({ state: 'withdrawn' }), { kind: 'withdraw' }), undefined)
  assert.is(next(undefined, { kind: 'withdraw' }), undefined)
})

rule.run()
