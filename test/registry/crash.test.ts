// time limit: 300 s
/** A registry on level killed in the middle of enrolments; `npm run simulate:crash` does it a hundred times. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { crashRun, type Life } from '../../simulations/crash/crash-run.ts'
import { temporaryDirectory } from '../support/registry.ts'

const rule = suite('registry killed in the middle of enrolments')
const SHARES = [0.3, 0.9, 0.6]

rule('has every one it acknowledged, each with an address of its own', async () => {
  const stateDirectory = await temporaryDirectory()
  const shares = [...SHARES]
  const lives: Life[] = []
  const run = crashRun({
    stateDirectory,
    enrolments: 60,
    times: SHARES.length,
    share: () => shares.shift() ?? 1,
  })
  for await (const life of run) lives.push(life)
  assert.equal(
    lives.map(({ lost, twice }) => [lost, twice]),
    SHARES.map(() => [0, 0]),
  )
  assert.ok(lives.every(({ acknowledged }) => acknowledged > 0))
  assert.ok(lives.some(({ cutOff }) => cutOff > 0))
})

rule.run()
