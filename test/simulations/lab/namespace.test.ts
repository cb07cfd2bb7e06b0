import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { createLab } from '../../../simulations/lab/lab.ts'
import type { Running } from '../../../simulations/lab/namespace.ts'
import { needs } from '../../support/needs.ts'

needs('root', 'netns')

const rule = suite('processes in the laboratory')

/** The message of what is thrown; empty where nothing is. */
async function failure(work: () => Promise<unknown>): Promise<string> {
  try {
    await work()
    return ''
  } catch (error) {
    return error instanceof Error ? error.message : ''
  }
}

rule('tells of a process that says nothing, ends too early or will not end', async () => {
  using lab = await createLab({ sites: [{ kind: 'public' }] })
  const start = (script: string): Running =>
    lab.host(1).namespace.spawn('/dev/null', 'sh', ['-c', script])
  const deaf = start('trap "" TERM; echo up; while :; do sleep 0.1; done')
  assert.is((await deaf.waitFor(/u(p)/))[1], 'p')
  assert.match(await failure(() => deaf.waitFor(/never/, 100)), /nothing for 100 ms before \/never/)
  assert.match(
    await failure(() => deaf.stop('SIGTERM', 200)),
    /did not end within 200 ms of SIGTERM/,
  )
  const brief = start('echo oh no >&2; exit 3')
  assert.match(await failure(() => brief.waitFor(/ready/)), /ended before .*\noh no/s)
  assert.is(await brief.ended, 3)
  await brief.stop()
})

rule.run()
