import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { createLog } from '../../registry/log.ts'
import { temporaryDirectory } from '../support/registry.ts'

const rule = suite('log')

async function logged(...lines: Parameters<ReturnType<typeof createLog>>[]): Promise<string> {
  const file = join(await temporaryDirectory(), 'log')
  const fd = openSync(file, 'w')
  const log = createLog('info', fd)
  for (const line of lines) log(...line)
  closeSync(fd)
  return readFileSync(file, 'utf8')
}

rule('writes a line of JSON with level, time, event and fields', async () => {
  const line = JSON.parse(await logged(['info', 'device.approved', { device: 'laptop' }]))
  assert.equal(
    { ...line, time: typeof line.time },
    {
      ...{ level: 'info', time: 'string', event: 'device.approved', device: 'laptop' },
    },
  )
})

rule('strikes out secrets, at the top and one level down', async () => {
  const secrets = { password: 'p-1', token: 't-1', cookie: 'c-1', registrationKey: 'nrk_1' }
  const text = await logged(['warn', 'x', secrets], ['warn', 'x', { request: secrets }])
  assert.not.match(text, /p-1|t-1|c-1|nrk_1/)
  assert.is(text.split('[secret]').length, 9)
})

rule('writes errors with message, code and stack', async () => {
  const error = Object.assign(new Error('it broke'), { code: 'ERR_X' })
  const line = JSON.parse(await logged(['error', 'http.failed', { error }]))
  assert.equal([line.error.message, line.error.code], ['it broke', 'ERR_X'])
  assert.match(line.error.stack, 'log.test.ts')
})

rule('leaves out what is less important than its level', async () => {
  assert.is(await logged(['debug', 'x']), '')
})

rule.run()
