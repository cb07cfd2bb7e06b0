// time limit: 600 s
/** What many connections and flows cost a proxy's process, and that it gets it back. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { FIGURES, type Figures } from './many-figures.ts'

const rule = suite('the memory of a proxy')

/** Open files that the process with many needs. */
const FILES = 16_000
/** Of a heap after its garbage was collected. */
const SLACK_BYTES = 2 * 1024 * 1024
/** How many there are, and bytes that one may cost: some six times what was measured. */
const MANY = {
  connections: { count: 1000, eachBytes: 128 * 1024 },
  flows: { count: 10_000, eachBytes: 16 * 1024 },
} as const

/** Throws where the process may not open so many files. */
async function manyInProcess(what: 'connections' | 'flows'): Promise<Figures> {
  const script = fileURLToPath(new URL('many-process.ts', import.meta.url))
  const limited = ['-c', `ulimit -n ${FILES} && exec "$@"`, 'sh']
  const words = [...limited, process.execPath, '--expose-gc', script, what]
  const { stdout } = await promisify(execFile)('sh', words)
  return FIGURES.parse(JSON.parse(stdout))
}

for (const what of ['connections', 'flows'] as const) {
  rule(`takes little memory for many ${what}, and gives it back`, async () => {
    const figures = await manyInProcess(what)
    const [first, second] = figures.rounds
    const { count, eachBytes } = MANY[what]
    const told = JSON.stringify(figures)
    for (const round of [first, second]) {
      assert.is(round?.there, count, told)
      assert.is(round?.left, 0, told)
    }
    if (first === undefined || second === undefined) return
    const cost = first.high - figures.before
    assert.ok(cost < count * eachBytes, told)
    // What the first round left is there once: pools, and code that was compiled.
    assert.ok(second.after - first.after < cost / 4 + SLACK_BYTES, told)
    assert.ok(second.after - figures.before < cost / 2 + 4 * SLACK_BYTES, told)
    assert.ok(second.residentHigh < 2 * first.residentHigh, told)
  })
}

rule.run()
