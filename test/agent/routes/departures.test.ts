import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  type Departures,
  departing,
  departureDueMs,
  departures,
  parting,
  usedUntilMs,
} from '../../../agent/routes/departures.ts'
import { LATE_MS } from '../../../agent/tunnel/backend.ts'
import { type Prefix, parsePrefix } from '../../../protocol/address.ts'
import type { RouteClaim } from '../../../protocol/belief.ts'
import { openEnvelope } from '../../../protocol/envelope.ts'
import type { RouteAdvertisement } from '../../../protocol/route-advertisement.ts'
import { testOrganization } from '../../support/organization.ts'

const acme = testOrganization('acme')
const [laptop, phone] = [acme.device('laptop'), acme.device('phone')]
const X = parsePrefix('10.99.0.1/32')
const LAN = parsePrefix('10.1.0.0/24')
const ALL = parsePrefix('0.0.0.0/0')
const rule = suite('departures (SPEC §8.9)')

function claim(
  of: typeof laptop,
  prefix: Prefix,
  change: Partial<RouteAdvertisement> = {},
): RouteClaim {
  const envelope = openEnvelope(acme.route(of, prefix, change))
  if (envelope.kind !== 'route-advertisement') throw new Error(envelope.kind)
  return { device: of.id, prefix, envelope }
}
const heard = (...claims: readonly RouteClaim[]): Departures =>
  departures(
    new Map(),
    Map.groupBy(claims, ({ prefix }) => prefix),
    1000,
  )
const served = new Set([X])

/** What the one that is left does, and the others take, at each moment. */
function phases(all: Departures, prefix: Prefix): void {
  const holders = new Map([[prefix, laptop.id]])
  const sends = (nowMs: number): boolean => parting(all, laptop.id, served, nowMs).has(prefix)
  const takes = (nowMs: number): boolean => departing(all, holders, nowMs).has(prefix)
  assert.equal([1000, 1199, 1200, 1799, 1800].map(sends), [false, false, true, true, false])
  assert.equal([1000, 1799 + LATE_MS, 1800 + LATE_MS].map(takes), [true, true, false])
  assert.is(usedUntilMs(all, prefix, laptop.id), 1400)
  assert.equal(
    [1000, 1200, 1400, 1800, 1800 + LATE_MS].map((nowMs) => departureDueMs(all, nowMs)),
    [1200, 1400, 1800, 1800 + LATE_MS, Infinity],
  )
}

rule('of an address: who hands it over sends by its alias from half of the time', () => {
  const all = heard(claim(phone, X, { epoch: 2, handOverMs: 400 }), claim(laptop, X))
  phases(all, X)
  assert.equal(parting(all, laptop.id, new Set(), 1300), new Set(), 'it answers no more')
  assert.equal(parting(all, phone.id, served, 1300), new Set())
  assert.equal(departing(all, new Map([[X, phone.id]]), 1000), new Map(), 'it has been left')
})

rule('of a network: so does a router that drains in a planned way', () => {
  const draining = claim(laptop, LAN, { state: 'draining', handOverMs: 400 })
  phases(heard(claim(phone, LAN), draining), LAN)
  phases(heard(draining), LAN)
})

rule('nobody where nothing was planned, and never of an exit', () => {
  const plain = [claim(phone, X, { epoch: 2 }), claim(laptop, X)]
  const drained = [claim(phone, LAN), claim(laptop, LAN, { state: 'draining' })]
  const exit = claim(laptop, ALL, { state: 'draining', handOverMs: 400 })
  assert.is(heard(...plain, ...drained, exit).size, 0)
  assert.is(usedUntilMs(heard(...drained), LAN, laptop.id), -Infinity)
  assert.is(departureDueMs(heard(...plain), 0), Infinity)
})

rule('counts from the first hearing; what is said anew begins anew', () => {
  const said = (sequence: number): Map<Prefix, RouteClaim[]> =>
    new Map([[LAN, [claim(laptop, LAN, { state: 'draining', handOverMs: 400, sequence })]]])
  const first = departures(new Map(), said(1), 1000)
  const again = departures(first, said(1), 1300)
  assert.is(usedUntilMs(again, LAN, laptop.id), 1400)
  assert.is(usedUntilMs(departures(again, said(2), 1300), LAN, laptop.id), 1700)
  assert.is(departures(again, new Map(), 1300).size, 0)
})

rule.run()
