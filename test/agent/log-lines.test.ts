/** Log lines, before and after what writes them is loaded. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'

const MODULE = new URL('../../agent/log-lines.ts', import.meta.url)

/** What a process with these lines of code writes to standard error. */
async function written(level: string, ...code: string[]): Promise<string[]> {
  const script = `const { keptLogLines } = await import('${MODULE}')
    let nowMs = Date.UTC(2026, 0, 1)
    const { log, open } = keptLogLines('${level}', { nowMs: () => (nowMs += 1000) })
    ${code.join('\n')}`
  const { stderr } = await promisify(execFile)(process.execPath, [
    '--input-type=module',
    '-e',
    script,
  ])
  return stderr.split('\n').filter((line) => line !== '')
}

const rule = suite('log lines')

rule('are kept with their time until they are opened, and then written in order', async () => {
  const lines = await written(
    'info',
    "log('info', 'first', { a: 1 })",
    "process.stderr.write('not yet\\n')",
    'await open()',
    "log('warn', 'second')",
    'await open()',
  )
  assert.equal(lines, [
    'not yet',
    '{"level":"info","time":"2026-01-01T00:00:01.000Z","event":"first","a":1}',
    '{"level":"warn","time":"2026-01-01T00:00:02.000Z","event":"second"}',
  ])
})

rule('below the level are written neither from before nor after', async () => {
  const lines = await written(
    'warn',
    "log('info', 'first')",
    "log('error', 'second')",
    'await open()',
    "log('debug', 'third')",
    "log('warn', 'fourth')",
  )
  assert.equal(
    lines.map((line) => JSON.parse(line).event),
    ['second', 'fourth'],
  )
})

rule('show no secret, whenever they are logged', async () => {
  const secret = "{ of: { privateKey: 'hush', registrationKey: 'hush', token: 'hush' } }"
  const lines = await written(
    'debug',
    `log('info', 'first', ${secret})`,
    'await open()',
    `log('info', 'second', ${secret})`,
  )
  assert.is(lines.length, 2)
  for (const line of lines) assert.not.match(line, /hush/)
})

rule.run()
