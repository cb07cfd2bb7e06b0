// time limit: 300 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { agreement } from '../../simulations/routes/agreement.ts'
import { convergenceInVirtualTime } from '../../simulations/world/virtual-run.ts'

const rule = suite('100 observers of an address that moves')

for (const seed of [1, 2]) {
  rule(`agree within two round trips, all but one in a hundred (seed ${seed})`, async () => {
    for (const { delayMs, p99, worst, missing } of await agreement(100, seed)) {
      const where = `links of ${delayMs.join(' to ')} ms one way`
      assert.is(missing, 0, where)
      assert.ok(p99 <= 2, `p99 ${p99.toFixed(2)}, ${where}`)
      assert.ok(worst <= 2.25, `worst ${worst.toFixed(2)}, ${where}`)
    }
  })
}

rule('do not pay for it by telling each other more', async () => {
  const links = { delayMs: [20, 20], loss: 0, processingMs: 2 } as const
  const run = { agents: 101, degree: 12, events: 5, links, seed: 1 }
  const { events, meshDegree } = await convergenceInVirtualTime(run)
  const moves = events.filter(({ kind }) => kind === 'moved /32')
  const mean = (of: readonly number[]): number => of.reduce((a, b) => a + b, 0) / of.length
  const bytes = mean(moves.map(({ bytesPerAgent }) => bytesPerAgent))
  const messages = mean(moves.map(({ messagesPerAgent }) => messagesPerAgent))
  assert.ok(bytes < 2350, `${bytes.toFixed(0)} bytes an agent`)
  assert.ok(messages < 16, `${messages.toFixed(1)} messages an agent`)
  assert.ok(meshDegree < 8, `mesh degree ${meshDegree.toFixed(1)}`)
})

rule.run()
