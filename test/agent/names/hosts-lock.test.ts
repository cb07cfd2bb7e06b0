/** Several processes that change one hosts file at once. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { changeHostsFile } from '../../../agent/names/hosts-file.ts'
import { tempDir } from '../../support/temp-dir.ts'

const MODULE = new URL('../../../agent/names/hosts-file.ts', import.meta.url).href
const PROGRAM = `
  const { changeHostsFile } = await import(${JSON.stringify(MODULE)});
  const [file, name] = process.argv.slice(1);
  for (let n = 0; n < 20; n++) await changeHostsFile(file, (text) => text + '10.0.0.1 ' + name + n + '\\n');
`

const rule = suite('a hosts file that several processes change')

rule('has all that each of them wrote', async () => {
  await using folder = await tempDir()
  const file = join(folder.path, 'hosts')
  await writeFile(file, '127.0.0.1 localhost\n')
  const ended = ['a', 'b', 'c'].map(async (name) => {
    const args = ['--input-type=module', '-e', PROGRAM, file, name]
    const child = spawn(process.execPath, args, { stdio: 'inherit' })
    assert.equal(await once(child, 'exit'), [0, null])
  })
  await Promise.all(ended)
  const lines = (await readFile(file, 'utf8')).trim().split('\n')
  assert.is(new Set(lines).size, 61)
})

rule('is changed all the same where the lock is never given back', async () => {
  await using folder = await tempDir()
  const file = join(folder.path, 'hosts')
  await writeFile(file, '')
  const holder = createServer().listen(`\0nexodus-file:${file.slice(-80)}`)
  await once(holder, 'listening')
  await changeHostsFile(file, () => 'changed')
  holder.close()
  assert.is(await readFile(file, 'utf8'), 'changed')
})

rule.run()
