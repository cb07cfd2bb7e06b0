// time limit: 240 s
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  completed,
  quietOptions,
  runRegistry,
  startedAt,
  stopped,
} from '../support/registry-process.ts'
import { tempDir } from '../support/temp-dir.ts'

const rule = suite('configuration file of a registry that runs')

rule('starts the registry and is what a backup goes by', async () => {
  await using folder = await tempDir()
  const options = quietOptions(join(folder.path, 'state'))
  const lines = options.flatMap((word, at) =>
    at % 2 ? [] : [`${word.slice(2)}: ${options[at + 1]}`],
  )
  await folder.write({ 'registry.yaml': lines.join('\n') })
  const path = join(folder.path, 'registry.yaml')
  const running = runRegistry(['--config', path])
  await startedAt(running)
  assert.is(await stopped(running), 0)
  const backup = await completed(['store', 'backup', join(folder.path, 'backup'), '--config', path])
  assert.is(backup.code, 0, backup.stderr)
  assert.match(backup.stdout, `keep it as safe as ${folder.path}/state.`)
})

rule.run()
