import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { FORGOTTEN_MS, SentLedger } from '../../../../agent/path/nat/sent-ledger.ts'
import { NatTracker } from '../../../../agent/path/nat/tracker.ts'
import { formatEndpoint, parseEndpoint, parseIpAddress } from '../../../../protocol/address.ts'
import type { DeviceId } from '../../../../protocol/keys.ts'
import { VirtualClock } from '../../../../simulations/world/virtual-clock.ts'

const [ana, bo, eve] = ['ana', 'bo', 'eve'] as unknown as [DeviceId, DeviceId, DeviceId]
const M = '198.51.100.1:40000'

function start(...host: string[]) {
  const clock = new VirtualClock()
  const own = host.length === 0 ? ['192.168.1.10:51820', '[2001:db8:1:1::10]:51820'] : host
  const nat = new NatTracker(clock, () => own.map(parseEndpoint))
  const sees = (observer: string, mapped: string, device?: DeviceId): void =>
    nat.observed(parseEndpoint(observer), parseEndpoint(mapped), device)
  const arrives = (device: DeviceId, from: string): void => nat.arrived(device, parseEndpoint(from))
  const report = (family: 4 | 6 = 4) => nat.view(family).report
  /** Each voice sees another port. */
  const differ = (address: string): void => {
    sees('192.0.2.1:3478', `${address}:1`)
    sees('192.0.2.2:51820', `${address}:2`, ana)
    sees('192.0.2.3:51820', `${address}:3`, bo)
  }
  return { clock, nat, own, sees, arrives, differ, report }
}

/** Three voices agree. */
function mapped(scene: ReturnType<typeof start>, as = M): void {
  scene.sees('192.0.2.1:3478', as)
  scene.sees('192.0.2.2:51820', as, ana)
  scene.sees('192.0.2.3:51820', as, bo)
}

const rule = suite('NAT tracker (RFC 4787)')

rule('knows nothing at first, and says nothing', () => {
  const { nat, report } = start()
  assert.equal(report(), {
    ...{ family: 4, mapping: 'unknown', filtering: 'unknown', hairpinning: 'unknown' },
    ...{ portPreserved: 'unknown', udp: 'unknown', lifetime: 0 },
  })
  assert.equal(nat.reports(), [])
})

rule('keeps the families apart', () => {
  const scene = start()
  mapped(scene)
  scene.sees('[2001:db8:9::1]:3478', '[2001:db8:1:1::10]:51820')
  assert.equal(
    scene.nat.reports().map(({ family, mapping }) => [family, mapping]),
    [
      [4, 'endpoint-independent'],
      [6, 'none'],
    ],
  )
})

rule('knows whether the port is preserved, by two voices at least', () => {
  for (const [expected, as] of [
    ['no', '198.51.100.1:40000'],
    ['yes', '198.51.100.1:51820'],
  ] as const) {
    const scene = start()
    scene.sees('192.0.2.1:3478', as)
    assert.is(scene.report().portPreserved, 'unknown')
    mapped(scene, as)
    scene.sees('192.0.2.9:1', '198.51.100.1:777', eve)
    assert.is(scene.report().portPreserved, expected)
  }
})

rule('starts afresh when the network has changed and somebody says something new', async () => {
  const scene = start()
  mapped(scene)
  scene.arrives(ana, '203.0.113.5:1')
  scene.arrives(bo, '203.0.113.6:1')
  scene.nat.hairpinned(parseEndpoint(M), true)
  assert.equal(
    [scene.report().filtering, scene.report().hairpinning],
    ['endpoint-independent', 'yes'],
  )
  await scene.clock.advance(1)
  scene.nat.networkChanged()
  assert.is(scene.report().mapping, 'endpoint-independent')
  await scene.clock.advance(1)
  scene.sees('192.0.2.1:3478', '198.51.100.77:1')
  const { mapping, filtering, hairpinning } = scene.report()
  assert.equal([mapping, filtering, hairpinning], ['unknown', 'unknown', 'unknown'])
  scene.sees('192.0.2.2:51820', '198.51.100.77:1', ana)
  assert.is(scene.report().mapping, 'endpoint-independent')
})

rule('keeps what it knows when the network has changed and nobody says anything new', () => {
  const scene = start()
  mapped(scene)
  scene.nat.networkChanged()
  scene.sees('192.0.2.1:3478', M)
  assert.is(scene.nat.view(4).isMappingProved, true)
})

rule('forgets what nobody has seen for five minutes', async () => {
  const scene = start()
  mapped(scene)
  await scene.clock.advance(301_000)
  assert.is(scene.report().mapping, 'unknown')
})

rule('forgets what it found out about a NAT when there is another', async () => {
  const scene = start()
  mapped(scene)
  scene.arrives(ana, '203.0.113.5:1')
  scene.arrives(bo, '203.0.113.6:1')
  scene.nat.hairpinned(parseEndpoint(M), true)
  scene.nat.measured(parseEndpoint('192.0.2.1:3478'), { atLeast: 60, lessThan: 66 })
  assert.is(scene.report().lifetime, 60)
  scene.sees('192.0.2.1:3478', '198.51.100.1:1')
  assert.is(scene.report().filtering, 'endpoint-independent')
  scene.differ('198.51.100.1')
  const { mapping, filtering, lifetime } = scene.report()
  assert.equal([mapping, filtering, lifetime], ['address-dependent', 'unknown', 0])
  mapped(scene)
  assert.equal(
    [scene.report().mapping, scene.report().hairpinning],
    ['endpoint-independent', 'unknown'],
  )
})

rule(
  'asks its own endpoint for the way back once an hour, and only an endpoint that two saw',
  () => {
    const scene = start()
    scene.sees('192.0.2.1:3478', M)
    assert.is(scene.nat.hairpinDue(4), undefined)
    mapped(scene)
    assert.is(formatEndpoint(scene.nat.hairpinDue(4) ?? parseEndpoint('0.0.0.0:1')), M)
    scene.nat.hairpinned(parseEndpoint(M), false)
    assert.is(scene.nat.hairpinDue(4), undefined)
    assert.is(scene.report().hairpinning, 'no')
    assert.ok(scene.nat.hairpinDue(4, 0) !== undefined)
  },
)

rule('says that UDP is blocked only when no server answers, until anything comes', async () => {
  const scene = start()
  mapped(scene)
  assert.is(scene.report().udp, 'works')
  scene.nat.mute(4)
  assert.is(scene.report().udp, 'works')
  await scene.clock.advance(10_000)
  assert.equal([scene.report().udp, scene.report(6).udp], ['blocked', 'unknown'])
  scene.arrives(ana, '203.0.113.5:1')
  assert.is(scene.report().udp, 'works')
  await scene.clock.advance(201_000)
  assert.is(scene.report().udp, 'unknown')
})

const filter = suite('filtering (RFC 4787 §5)')

filter(
  'is endpoint-independent when checks of two members came from where nothing was sent',
  () => {
    const { arrives, report } = start()
    arrives(ana, '203.0.113.5:1')
    arrives(ana, '203.0.113.6:1')
    assert.is(report().filtering, 'unknown')
    arrives(bo, '203.0.113.7:1')
    assert.is(report().filtering, 'endpoint-independent')
  },
)

filter('is address-dependent when they came from other ports of where something was sent', () => {
  const { nat, arrives, report } = start()
  for (const to of ['203.0.113.5:1', '203.0.113.6:1']) nat.sent(parseEndpoint(to))
  arrives(ana, '203.0.113.5:1')
  arrives(bo, '203.0.113.6:1')
  assert.is(report().filtering, 'unknown')
  arrives(ana, '203.0.113.5:2')
  arrives(bo, '203.0.113.6:2')
  assert.is(report().filtering, 'address-dependent')
  arrives(ana, '203.0.113.8:2')
  assert.is(report().filtering, 'address-dependent')
})

filter('is not known by answers to what was sent up to 15 minutes before', async () => {
  const { clock, nat, arrives, report } = start()
  for (const to of ['203.0.113.5:1', '203.0.113.6:1']) nat.sent(parseEndpoint(to))
  await clock.advance(FORGOTTEN_MS - 1)
  arrives(ana, '203.0.113.5:1')
  arrives(bo, '203.0.113.6:1')
  assert.is(report().filtering, 'unknown')
  await clock.advance(1)
  arrives(ana, '203.0.113.5:1')
  arrives(bo, '203.0.113.6:1')
  assert.is(report().filtering, 'endpoint-independent')
})

filter('is not known by what an earlier run may have sent to', () => {
  const { nat, arrives, report } = start()
  for (const one of ['203.0.113.5', '203.0.113.6']) nat.mayHaveSent(parseIpAddress(one))
  nat.sent(parseEndpoint('203.0.113.5:1'))
  arrives(ana, '203.0.113.5:2')
  arrives(bo, '203.0.113.6:2')
  assert.is(report().filtering, 'unknown')
})

filter('is not known by what came without passing the NAT', () => {
  const scene = start()
  mapped(scene)
  const near = ['192.168.1.20:1', '10.3.3.3:1', '100.64.3.3:1', '198.51.100.1:2', '198.51.100.9:2']
  for (const [index, from] of near.entries()) scene.arrives(index % 2 === 0 ? ana : bo, from)
  scene.arrives(ana, '[2001:db8:1:2::1]:1')
  scene.arrives(bo, '[2001:db8:1:3::1]:1')
  assert.equal([scene.report().filtering, scene.report(6).filtering], ['unknown', 'unknown'])
})

filter('is forgotten after an hour', async () => {
  const { clock, arrives, report } = start()
  arrives(ana, '203.0.113.5:1')
  arrives(bo, '203.0.113.7:1')
  await clock.advance(3_599_000)
  assert.is(report().filtering, 'endpoint-independent')
  await clock.advance(2000)
  assert.is(report().filtering, 'unknown')
})

filter('is not judged while the books may have lost something', () => {
  const ledger = new SentLedger()
  const at = (index: number) => parseEndpoint(`10.${index >> 8}.${index & 255}.1:1`)
  for (let index = 0; index < 4096; index++) ledger.sent(at(index), index)
  assert.is(ledger.unasked(parseEndpoint('203.0.113.5:1'), 5000), 'address')
  ledger.sent(at(5000), 5000)
  assert.is(ledger.unasked(parseEndpoint('203.0.113.5:1'), 5000), undefined)
  assert.is(ledger.unasked(parseEndpoint('203.0.113.5:1'), FORGOTTEN_MS), 'address')
})

rule.run()
filter.run()
