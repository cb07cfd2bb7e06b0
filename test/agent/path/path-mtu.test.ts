import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { CONFIRM_MS, RAISE_MS } from '../../../agent/path/path-mtu-state.ts'
import { parseEndpoint } from '../../../protocol/address.ts'
import { driveMtu, ENDPOINT, type MtuDriver, path, wide } from './path-mtu-world.ts'

const OTHER = parseEndpoint('[2001:db8::7]:51820')
const rule = suite('path MTU (SPEC §10.7, RFC 8899)')

const probes = ({ done }: MtuDriver): readonly number[] =>
  done.flatMap(({ action }) => (action.kind === 'send-probe' ? [action.size] : []))

rule('sends nothing while no direct path is in use, and tells the usual size', () => {
  const driver = driveMtu(wide())
  driver.give(path(undefined))
  driver.runFor(RAISE_MS)
  assert.equal(driver.done, [])
  assert.is(driver.state.mtu, 1420)
  assert.is(driveMtu(wide(), 8912).state.mtu, 1408)
})

rule('confirms the usual size of a new path by one probe, after asking the kernel', () => {
  const driver = driveMtu(wide())
  driver.give(path(ENDPOINT))
  driver.runFor(10_000)
  assert.equal(
    driver.done.map(({ action }) => action),
    [
      { kind: 'look', endpoint: ENDPOINT },
      { kind: 'send-probe', endpoint: ENDPOINT, size: 1420 },
    ],
  )
  assert.equal([driver.state.phase, driver.state.mtu], ['complete', 1420])
  assert.equal(driver.told, [])
})

rule('finds what a black hole lets through, telling a sure size meanwhile', () => {
  const driver = driveMtu(wide({ carries: 1340 }))
  driver.give(path(ENDPOINT))
  driver.runFor(10_000)
  assert.equal(
    driver.told.map(({ mtu }) => mtu),
    [1200, 1328],
  )
  assert.equal([...new Set(probes(driver))], [1420, 1200, 1296, 1344, 1312, 1328])
  assert.ok(probes(driver).length <= 10, `${probes(driver).length} probes`)
  assert.ok((driver.told[0]?.atMs ?? Infinity) < 1000)
  assert.ok((driver.told[1]?.atMs ?? Infinity) < 3000)
})

rule('takes the kernel at its word where a router has told it, and needs one probe', () => {
  const driver = driveMtu(wide({ carries: 1340, kernelKnows: 1328 }))
  driver.give(path(ENDPOINT))
  driver.runFor(10_000)
  assert.equal(probes(driver), [1328])
  assert.equal(
    driver.told.map(({ mtu }) => mtu),
    [1328],
  )
})

rule('does not believe the answer to a probe that the kernel has cut in two meanwhile', () => {
  const world = wide({ carries: 1340 })
  const driver = driveMtu(world)
  driver.give(path(ENDPOINT))
  driver.runFor(6)
  // The router's word arrives after the kernel was asked and before the probe left.
  world.kernelKnows = 1328
  driver.give({ kind: 'looked', maxPlpmtu: 1328 })
  driver.give({ kind: 'probe-answered', size: 1420, roundTripMs: 40 })
  assert.is(driver.state.path?.confirmed, 0)
  driver.runFor(10_000)
  assert.is(driver.state.mtu, 1328)
})

rule('lowers nothing for a size that is lost together with everything else', () => {
  let isDead = true
  const driver = driveMtu(wide({ isLost: () => isDead }))
  driver.give(path(ENDPOINT))
  driver.runFor(8000)
  assert.equal(driver.told, [])
  assert.ok(probes(driver).length <= 12, `${probes(driver).length} probes`)
  isDead = false
  driver.runFor(20_000)
  assert.equal([driver.state.phase, driver.state.mtu], ['complete', 1420])
})

rule('probes nothing on a path that carries no packets of users', () => {
  const driver = driveMtu(wide({ hasTraffic: false, carries: 1340 }))
  driver.give(path(ENDPOINT))
  driver.runFor(10_000)
  const { length } = driver.done
  driver.runFor(2 * RAISE_MS)
  assert.is(driver.done.length, length)
})

rule('confirms the size in use while packets pass, so often and no more', () => {
  const driver = driveMtu(wide())
  driver.give(path(ENDPOINT))
  driver.runFor(10 * CONFIRM_MS)
  assert.ok(probes(driver).length >= 9 && probes(driver).length <= 11)
})

rule('finds a path that became a black hole under way, and one where routers speak', () => {
  for (const kernelKnows of [1420, 1232]) {
    const world = wide()
    const driver = driveMtu(world)
    driver.give(path(ENDPOINT))
    driver.runFor(60_000)
    Object.assign(world, { carries: 1240, kernelKnows })
    driver.runFor(CONFIRM_MS + 5000)
    assert.is(driver.state.mtu, 1232, `${kernelKnows}`)
  }
})

rule('finds it sooner where what is sent is not answered', () => {
  const world = wide({ hasTraffic: false })
  const driver = driveMtu(world)
  driver.give(path(ENDPOINT))
  driver.runFor(60_000)
  world.carries = 1240
  const stuck = (sent: number): void => driver.give({ kind: 'counters', sent, received: 0 })
  for (const sent of [0, 1500, 3000, 4500, 6000]) {
    stuck(sent)
    driver.runFor(240)
  }
  stuck(7500)
  driver.runFor(4000)
  assert.is(driver.state.mtu, 1232)
})

rule('takes a wider path up when the raise timer ends, or at once when the network changed', () => {
  for (const isHinted of [false, true]) {
    const world = wide({ carries: 1340 })
    const driver = driveMtu(world)
    driver.give(path(ENDPOINT))
    driver.runFor(30_000)
    assert.is(driver.state.mtu, 1328)
    world.carries = 1420
    if (isHinted) driver.give({ kind: 'network-changed' })
    driver.runFor(isHinted ? 3000 : RAISE_MS)
    assert.is(driver.state.mtu, 1420)
  }
})

rule('stays at what passes while it looks in vain for more', () => {
  const driver = driveMtu(wide({ carries: 1340 }))
  driver.give(path(ENDPOINT))
  driver.runFor(30_000)
  const told = driver.told.length
  const sent = probes(driver).length
  driver.runFor(2 * RAISE_MS)
  assert.is(driver.told.length, told)
  assert.ok(probes(driver).length - sent <= (2 * RAISE_MS) / CONFIRM_MS + 2 * 12)
})

rule('tries jumbo frames after the usual size, and nothing between them', () => {
  const wideDriver = driveMtu(wide({ carries: 8912, kernelKnows: 8912 }), 8912)
  wideDriver.give(path(ENDPOINT, 8912))
  wideDriver.runFor(5000)
  assert.equal(probes(wideDriver), [1408, 8912])
  assert.is(wideDriver.state.mtu, 8912)
  const usual = driveMtu(wide({ carries: 1440, kernelKnows: 8912 }), 8912)
  usual.give(path(ENDPOINT, 8912))
  usual.runFor(5000)
  assert.equal(probes(usual), [1408, 8912, 8912, 8912])
  assert.is(usual.state.mtu, 1408)
  assert.equal(usual.told, [])
})

rule('remembers each path of the peer, and tells the usual size of one it does not know', () => {
  const world = wide({ carries: 1340 })
  const driver = driveMtu(world)
  driver.give(path(ENDPOINT))
  driver.runFor(10_000)
  assert.is(driver.state.mtu, 1328)
  driver.give(path(undefined))
  assert.is(driver.state.mtu, 1420)
  world.carries = 1420
  driver.give(path(OTHER))
  driver.runFor(10_000)
  assert.is(driver.state.mtu, 1420)
  world.carries = 1340
  const before = probes(driver).length
  driver.give(path(ENDPOINT))
  assert.is(driver.state.mtu, 1328)
  driver.runFor(5000)
  assert.equal(probes(driver).slice(before), [1328])
})

rule('does not wait long where the first round trip took long', () => {
  const driver = driveMtu(wide({ carries: 1340 }))
  driver.give(path(ENDPOINT, 1420, 4000))
  driver.runFor(8000)
  assert.is(driver.state.mtu, 1328)
})

rule('believes a late answer to a size that it has given up', () => {
  const driver = driveMtu(wide({ roundTripMs: 3000 }))
  driver.give(path(ENDPOINT, 1420, 40))
  driver.runFor(20_000)
  assert.equal([driver.state.phase, driver.state.mtu], ['complete', 1420])
})

rule('forgets what it knew of a path when the network changed, in use or not', () => {
  for (const isInUse of [false, true]) {
    const world = wide({ carries: 1340 })
    const driver = driveMtu(world)
    driver.give(path(ENDPOINT))
    driver.runFor(10_000)
    if (!isInUse) driver.give(path(undefined))
    driver.give({ kind: 'network-changed' })
    if (isInUse) driver.give(path(undefined))
    world.carries = 1420
    driver.give(path(ENDPOINT))
    driver.runFor(3000)
    assert.is(driver.state.mtu, 1420, `in use: ${isInUse}`)
  }
})

rule('begins anew when the interface’s MTU changes', () => {
  const driver = driveMtu(wide({ carries: 1340 }))
  driver.give(path(ENDPOINT))
  driver.runFor(10_000)
  driver.give(path(ENDPOINT, 1280))
  assert.is(driver.state.mtu, 1280)
  driver.runFor(5000)
  assert.equal([driver.state.phase, driver.state.mtu], ['complete', 1280])
})

rule('falls to the least size where not even the sure one passes', () => {
  const driver = driveMtu(wide({ carries: 1000 }))
  driver.give(path(ENDPOINT))
  driver.runFor(20_000)
  assert.is(driver.state.mtu, 992)
  const hopeless = driveMtu(wide({ carries: 100 }))
  hopeless.give(path(ENDPOINT))
  hopeless.runFor(20_000)
  assert.equal([hopeless.state.phase, hopeless.state.mtu], ['complete', 512])
})

rule.run()
