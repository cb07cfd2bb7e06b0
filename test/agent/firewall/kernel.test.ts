// time limit: 600 s
/** What the kernel lets through is what the reference says, for random policies and random packets. */
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { needs } from '../../support/needs.ts'
import { POLICY, packet, verdictOf, WAYS } from '../../support/policies.ts'
import { type Scene, startScene } from './scene.ts'

needs('netns', 'nft', 'python3')

const [POLICIES, PACKETS] = [16, 320]
const SEED = Number(process.env['SEED'] ?? Date.now() % 1e6)

const rule = suite(`policy in the kernel, seed ${SEED}`)
let scene: Scene

rule.before(async () => {
  scene = await startScene()
})
rule.after(async () => {
  await scene[Symbol.asyncDispose]()
})

const EACH = fc.tuple(
  POLICY,
  fc.array(
    fc.constantFrom(...WAYS).chain((way) => packet(way).map((each) => ({ way, packet: each }))),
    { minLength: PACKETS, maxLength: PACKETS },
  ),
)

rule(
  `passes what the reference passes: ${POLICIES} policies, ${PACKETS} packets each`,
  async () => {
    let accepted = 0
    for (const [policy, packets] of fc.sample(EACH, { seed: SEED, numRuns: POLICIES })) {
      await scene.enforce(policy)
      const passing = await scene.passing(packets)
      packets.forEach(({ way, packet: each }, index) => {
        const isPassing = verdictOf(policy, way, each) === 'accept'
        if (isPassing) accepted += 1
        const said = () =>
          JSON.stringify({ way, each, policy }, (_, it) => (typeof it === 'bigint' ? `${it}` : it))
        assert.is(
          passing.has(index),
          isPassing,
          `SEED=${SEED}: reference says ${isPassing}: ${said()}`,
        )
      })
    }
    // Neither verdict is rare: a test in which nothing passes shows nothing.
    const all = POLICIES * PACKETS
    assert.ok(accepted > all / 10 && accepted < (all * 9) / 10, `${accepted} of ${all} accepted`)
  },
)

rule.run()
