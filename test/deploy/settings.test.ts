/** Every setting that deploy/ names is one that the programs know. */
import { spawnSync } from 'node:child_process'
import { globSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'

process.chdir(fileURLToPath(new URL('../..', import.meta.url)))

const SETTING = /\bNEXODUS_[A-Z_]+\b/g

function known(...command: string[]): Set<string> {
  const { status, stdout, stderr } = spawnSync(process.execPath, [...command, '--help'], {
    encoding: 'utf8',
  })
  assert.is(status, 0, stderr)
  return new Set(stdout.match(SETTING))
}

const agent = known('agent/nexd.js', 'up')
const registry = known('registry/main.ts')

const rule = suite('settings in deploy/')

for (const file of globSync('deploy/**/*', { withFileTypes: true })) {
  if (!file.isFile()) continue
  const path = `${file.parentPath}/${file.name}`
  const settings = new Set(readFileSync(path, 'utf8').match(SETTING))
  if (settings.size === 0) continue
  rule(`are known to the programs (${path})`, () => {
    const strange = [...settings].filter((each) => !agent.has(each) && !registry.has(each))
    assert.equal(strange, [])
  })
}

rule.run()
