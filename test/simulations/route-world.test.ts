// time limit: 300 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { simulatedOrganization } from '../../simulations/world/agents.ts'
import { type RouteRunResult, runRoutes } from '../../simulations/world/route-world.ts'
import { seededRandom, VirtualClock } from '../../simulations/world/virtual-clock.ts'

const RUNS = 1000
const organization = simulatedOrganization(6, new VirtualClock().now(), 1)
const rule = suite('an address among agents that part and die (SPEC §8.5)')

const run = (seed: number, events: number): Promise<RouteRunResult> =>
  runRoutes({
    organization,
    clock: new VirtualClock(),
    random: seededRandom(seed),
    standbys: 3,
    events,
  })

rule('stays with its holder while nothing happens', async () => {
  const { holders, claims } = await run(1, 0)
  assert.equal(holders, [organization.devices[0]?.id])
  // One claim, and four statements of standing by.
  assert.is(claims, 5)
})

rule(`has one holder everywhere after ${RUNS} seeded runs of partitions and deaths`, async () => {
  let slowest = 0
  for (let seed = 0; seed < RUNS; seed += 1) {
    const { holders, serving, agreedMs } = await run(seed, 6)
    assert.equal([holders.length, serving], [1, holders], `seed ${seed}`)
    slowest = Math.max(slowest, agreedMs)
  }
  process.stdout.write(`slowest agreement after healing: ${slowest} ms of virtual time\n`)
  assert.ok(slowest <= 6000, `${slowest} ms`)
})

rule('goes the same way for the same seed', async () => {
  assert.equal(await run(42, 8), await run(42, 8))
})

rule.run()
