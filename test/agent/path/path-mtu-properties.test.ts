import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type PathMtuInput, stepPathMtu } from '../../../agent/path/path-mtu.ts'
import {
  CONFIRM_MS,
  initialPathMtu,
  pathMtuDueMs,
  RAISE_MS,
} from '../../../agent/path/path-mtu-state.ts'
import { parseEndpoint } from '../../../protocol/address.ts'
import { driveMtu, ENDPOINT, path, wide } from './path-mtu-world.ts'

const RUNS = { numRuns: 200 }
const rule = suite('path MTU, properties')

/** The largest size that may be told of a path that carries so much. */
const best = (carries: number, most: number): number =>
  carries >= most ? most : carries - (carries % 16)

const carried = fc.integer({ min: 528, max: 1500 })
const roundTripMs = fc.integer({ min: 1, max: 400 })

rule('ends at the largest size that passes, by a bounded number of probes', () => {
  const property = fc.property(carried, roundTripMs, (carries, rtt) => {
    const driver = driveMtu(wide({ carries, roundTripMs: rtt, hasTraffic: false }))
    driver.give(path(ENDPOINT, 1420, rtt))
    driver.runFor(CONFIRM_MS)
    driver.runFor(30 * 3 * rtt)
    assert.equal([driver.state.phase, driver.state.mtu], ['complete', best(carries, 1420)])
    const sizes = driver.done.flatMap(({ action }) =>
      action.kind === 'send-probe' ? [action.size] : [],
    )
    assert.ok(new Set(sizes).size <= 9, `${sizes}`)
    assert.ok(sizes.length <= 3 * 9, `${sizes}`)
  })
  fc.assert(property, RUNS)
})

rule('tells at no moment after the first probes a size that does not pass', () => {
  const property = fc.property(carried, (carries) => {
    const driver = driveMtu(wide({ carries }))
    driver.give(path(ENDPOINT))
    driver.runFor(120_000)
    const late = driver.told.filter(({ atMs }) => atMs > 3000)
    for (const { mtu } of late) assert.ok(mtu <= carries, `${mtu} of ${carries}`)
  })
  fc.assert(property, RUNS)
})

rule('heals both ways, with and without a word of routers', () => {
  const change = fc.record({ carries: carried, isTold: fc.boolean() })
  const property = fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
    const world = wide()
    const driver = driveMtu(world)
    driver.give(path(ENDPOINT))
    driver.runFor(5000)
    for (const { carries, isTold } of changes) {
      Object.assign(world, { carries, kernelKnows: isTold ? best(carries, 1420) : 1420 })
      driver.runFor(CONFIRM_MS + 10_000)
      assert.ok(driver.state.mtu <= carries, `${driver.state.mtu} of ${carries}`)
      driver.runFor(RAISE_MS)
      assert.is(driver.state.mtu, best(carries, 1420))
    }
  })
  fc.assert(property, { numRuns: 60 })
})

rule('is misled for long by no loss of a tenth each way', () => {
  const property = fc.property(
    carried,
    fc.array(fc.boolean(), { minLength: 97, maxLength: 97 }),
    (carries, coins) => {
      let draw = 0
      // Two coins of four sides would be lost too often: one of five.
      const driver = driveMtu(
        wide({ carries, isLost: () => draw++ % 5 === 0 && coins[draw % 97] === true }),
      )
      driver.give(path(ENDPOINT))
      driver.runFor(RAISE_MS + 60_000)
      assert.ok(driver.state.mtu <= carries)
      driver.runFor(RAISE_MS)
      assert.ok(driver.state.mtu >= Math.min(1200, best(carries, 1420)), `${driver.state.mtu}`)
    },
  )
  fc.assert(property, { numRuns: 60 })
})

const endpoint = fc.constantFrom(ENDPOINT, parseEndpoint('[2001:db8::7]:51820'))
const size = fc.integer({ min: 0, max: 700 }).map((words) => words * 16)
const most = fc.constantFrom(1280, 1380, 1420, 8912)
const input: fc.Arbitrary<PathMtuInput> = fc.oneof(
  fc.record({
    kind: fc.constant('path' as const),
    endpoint: fc.option(endpoint, { nil: undefined }),
    roundTripMs: fc.integer({ min: 0, max: 1000 }),
    most,
  }),
  fc.record({ kind: fc.constant('looked' as const), maxPlpmtu: size }),
  fc.record({ kind: fc.constant('probe-answered' as const), size, roundTripMs }),
  fc.record({ kind: fc.constant('counters' as const), sent: fc.nat(9000), received: fc.nat(9000) }),
  fc.constantFrom<PathMtuInput>(
    { kind: 'check-answered', roundTripMs: 40 },
    { kind: 'network-changed' },
    { kind: 'tick' },
  ),
)

rule(
  'whatever happens, tells no more than the interface and the kernel allow, and never floods',
  () => {
    const history = fc.array(fc.tuple(fc.nat(2000), input), { maxLength: 80 })
    const property = fc.property(history, (happened) => {
      let state = initialPathMtu(1420)
      let nowMs = 0
      let packets = 0
      let looks = 0
      const give = (one: PathMtuInput): void => {
        const stepped = stepPathMtu(state, one, nowMs)
        state = stepped.state
        for (const { kind } of stepped.actions) {
          if (kind === 'look') looks += 1
          else packets += 1
        }
        assert.ok(state.mtu <= state.most)
        if (state.path !== undefined) assert.ok(state.mtu <= state.path.maxPlpmtu)
        assert.ok(state.remembered.length <= 8)
      }
      for (const [afterMs, one] of happened) {
        const untilMs = nowMs + afterMs
        for (let dueMs = pathMtuDueMs(state); dueMs <= untilMs; dueMs = pathMtuDueMs(state)) {
          nowMs = Math.max(nowMs, dueMs)
          give({ kind: 'tick' })
        }
        nowMs = untilMs
        give(one)
      }
      // Each look is answered by one probe and one check at most, and is asked for once at a time.
      assert.ok(packets <= 2 * looks, `${packets} packets, ${looks} looks`)
      const inputs = happened.length
      assert.ok(
        looks <= inputs + nowMs / 200 + 1,
        `${looks} looks of ${inputs} inputs in ${nowMs} ms`,
      )
    })
    fc.assert(property, { numRuns: 2000 })
  },
)

rule.run()
