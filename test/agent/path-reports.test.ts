import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { PathStatus } from '../../agent/path/path-status.ts'
import {
  newTelling,
  nextTelling,
  PathReports,
  type SeenPath,
  type Telling,
} from '../../agent/path-reports.ts'
import { toHex } from '../../crypto/bytes.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import { PATH_REPORTS } from '../../protocol/limits.ts'
import { relayAddressOf } from '../../protocol/relay.ts'
import { VirtualClock } from '../../simulations/world/virtual-clock.ts'
import { testOrganization } from '../support/organization.ts'

const rule = suite('path reports of this device (SPEC §6.4)')
const address = (number: number): string => toHex(new Uint8Array(9).fill(number))
const SELF = address(100)
const TICK_MS = 5000

const direct = (number: number, roundTripMs = 20): SeenPath => ({
  ...{ peer: address(number), kind: 'direct', roundTripMs },
})
const relayed = (number: number, relay = 'registry'): SeenPath => ({
  ...{ peer: address(number), kind: 'relayed', roundTripMs: 90, relay },
})
const idle = (number: number): SeenPath => ({ peer: address(number), kind: 'idle' })

/** A device that looks every five seconds. */
function watcher(members = 2, share = 0) {
  let telling: Telling = newTelling(0)
  let nowMs = 0
  let tellings = 0
  return {
    /** What it has told at the end of that time. */
    after(seconds: number, seen: readonly SeenPath[]) {
      for (const endMs = nowMs + seconds * 1000; nowMs < endMs; ) {
        nowMs += TICK_MS
        const next = nextTelling(telling, { seen, self: SELF, members, share, nowMs })
        if (next.told !== telling.told) tellings += 1
        telling = next
      }
      return telling.told
    },
    count: () => tellings,
  }
}

rule('tell a path soon after it is found, and nothing more while nothing changes', () => {
  const device = watcher()
  assert.equal(device.after(5, [direct(1)]), [])
  assert.equal(device.after(5, [direct(1)]), [direct(1)])
  device.after(86_400, [direct(1)])
  assert.is(device.count(), 1)
})

rule('tell soon that a path is relayed, through whom, and that it is no more', () => {
  const device = watcher()
  device.after(10, [direct(1)])
  assert.equal(device.after(10, [relayed(1)]), [relayed(1)])
  assert.equal(device.after(10, [relayed(1, address(7))]), [relayed(1, address(7))])
  assert.equal(device.after(10, []), [])
  assert.is(device.count(), 4)
})

rule('say nothing of a path that changes and changes back at once', () => {
  const device = watcher()
  device.after(10, [direct(1)])
  for (let turn = 0; turn < 50; turn += 1) {
    device.after(5, [relayed(1)])
    device.after(5, [direct(1)])
  }
  assert.is(device.count(), 1)
})

rule('tell of a path that flaps no more often than the pace', () => {
  const device = watcher()
  for (let turn = 0; turn < 180; turn += 1) {
    device.after(10, [relayed(1)])
    device.after(10, [direct(1)])
  }
  // An hour: four, and one in 62 s.
  assert.ok(device.count() <= 62 && device.count() >= 50, `${device.count()}`)
})

rule('tell round trips alone rarely, and only others', () => {
  const device = watcher()
  device.after(10, [direct(1, 20)])
  device.after(600, [direct(1, 29)])
  assert.is(device.count(), 1, 'nine milliseconds more are no news')
  device.after(600, [direct(1, 31)])
  assert.is(device.count(), 2)
  for (let minute = 0; minute < 60; minute += 1) device.after(60, [direct(1, 50 + minute * 40)])
  assert.ok(device.count() <= 2 + 12, `${device.count()} in an hour`)
  device.after(7200, [direct(1, 3000)])
  const before = device.count()
  device.after(600, [direct(1, 2500)])
  assert.is(device.count(), before, 'less than a quarter is no news')
})

rule('let a path that rests go with the next round trips, for it has not failed', () => {
  const device = watcher()
  device.after(10, [direct(1), direct(2)])
  assert.equal(device.after(200, [direct(1), idle(2)]).length, 2)
  assert.equal(device.after(200, [direct(1), idle(2)]), [direct(1)])
})

rule('are fewer in larger organizations', () => {
  const inHour = (members: number): number => {
    const device = watcher(members)
    for (let turn = 0; turn < 60; turn += 1) {
      device.after(30, [relayed(1)])
      device.after(30, [direct(1)])
    }
    return device.count()
  }
  assert.ok(inHour(10) > inHour(200) && inHour(200) > inHour(1000))
  // A thousand devices, all of them flapping: one statement of each in 18 minutes.
  assert.ok(inHour(1000) <= 4 + 4, `${inHour(1000)}`)
})

rule('wait a share of the spread, so that not all speak at once', () => {
  const device = watcher(1000, 1)
  assert.equal(device.after(20, [direct(1)]), [])
  assert.equal(device.after(10, [direct(1)]), [direct(1)])
})

rule('are those of the next on the ring where there are too many, and stay the same', () => {
  const device = watcher()
  const all = Array.from({ length: 60 }, (_, index) => direct(70 + index))
  const told = device.after(10, all.toReversed())
  assert.equal(
    told.map(({ peer }) => peer),
    Array.from({ length: PATH_REPORTS }, (_, index) => address(101 + index)),
  )
  device.after(600, all)
  assert.is(device.count(), 1)
  const few = watcher().after(10, [direct(99), direct(101), direct(3)])
  assert.equal(
    few.map(({ peer }) => peer),
    [101, 3, 99].map(address),
  )
})

rule('cover each link of 33 devices by one end at least', () => {
  const ids = Array.from({ length: 33 }, (_, index) => address(7 * index + 1))
  const links = new Set<string>()
  for (const self of ids) {
    const seen = ids
      .filter((peer) => peer !== self)
      .map((peer): SeenPath => ({ peer, kind: 'direct' }))
    const about = { seen, self, members: 32, share: 0 }
    const waiting = nextTelling(newTelling(0), { ...about, nowMs: 0 })
    const { told } = nextTelling(waiting, { ...about, nowMs: 5000 })
    for (const { peer } of told) links.add([self, peer].sort().join())
  }
  assert.is(links.size, (33 * 32) / 2)
})

rule('come from the paths and relays of the daemon', () => {
  const acme = testOrganization('acme')
  const names = ['laptop', 'phone', 'rack', 'lamp', 'printer']
  const [laptop, phone, rack, lamp, printer] = names.map((name) => acme.device(name).id)
  const clock = new VirtualClock()
  const states: Record<string, PathStatus> = {
    [String(phone)]: {
      kind: 'direct',
      endpoint: { address: '192.0.2.1' as never, port: 1 },
      roundTripMs: 0.4,
    },
    [String(rack)]: { kind: 'relay', roundTripMs: 30.2 },
    [String(lamp)]: { kind: 'relay' },
    [String(printer)]: { kind: 'offline' },
  }
  const peers = new Map(Object.keys(states).map((id) => [id as DeviceId, undefined]))
  const reports = new PathReports({
    device: laptop as DeviceId,
    options: { clock, random: () => Uint8Array.of(0) },
    plan: { peers },
    parts: {
      paths: { status: (device) => states[device] ?? { kind: 'offline' } },
      relays: {
        inUse: (to) =>
          to === rack ? { device: undefined } : to === lamp ? { device: phone } : undefined,
      },
    },
  })
  assert.equal(reports.told(), [])
  void clock.advance(5000)
  const of = (device: DeviceId | undefined) => relayAddressOf(device as DeviceId)
  const told = new Map(reports.told().map(({ peer, ...rest }) => [peer, rest]))
  assert.is(told.size, 3)
  assert.equal(told.get(of(phone)), { kind: 'direct', roundTripMs: 1 })
  assert.equal(told.get(of(rack)), { kind: 'relayed', roundTripMs: 31, relay: 'registry' })
  assert.equal(told.get(of(lamp)), { kind: 'relayed', relay: of(phone) })
})

rule.run()
