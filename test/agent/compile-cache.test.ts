/** The compile cache of nexd, opened by its door. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { defaultStateDirectory, stateDirectoryOf } from '../../agent/compile-cache.js'

const NEXD = new URL('../../agent/nexd.js', import.meta.url).pathname
const folder = await mkdtemp(join(tmpdir(), 'nxt-cache-'))
const rule = suite('compile cache')
rule.after(() => rm(folder, { recursive: true }))

rule('is in the state directory that the command line names last, or the environment', () => {
  const env = { NEXODUS_STATE_DIR: '/env' }
  const cases: [string[], string][] = [
    [['up', '--state-dir', '/a'], '/a'],
    [['up', '--state-dir=/a', '--name', 'x'], '/a'],
    [['up', '--state-dir', '/a', '--state-dir=/b'], '/b'],
    [['up', '--state-dir'], '/env'],
    [['up', '--state-directory', '/a'], '/env'],
    [[], '/env'],
  ]
  for (const [args, expected] of cases) assert.is(stateDirectoryOf(args, env), expected)
  assert.is(stateDirectoryOf([], {}), defaultStateDirectory())
  assert.ok([`${homedir()}/.nexodus`, '/var/lib/nexd'].includes(defaultStateDirectory()))
})

/** Does Node load what reads TypeScript, where nexd has this state directory? */
async function readsTypeScript(stateDirectory: string): Promise<boolean> {
  const told = `data:text/javascript,process.on('exit', () => console.log('reads TypeScript:',
    process.moduleLoadList.some((name) => name.includes('amaro'))))`
  const { stdout } = await promisify(execFile)(process.execPath, [
    '--import',
    told,
    NEXD,
    '--state-dir',
    stateDirectory,
    '--help',
  ]).catch((error: { stdout: string }) => error)
  return /reads TypeScript: (\w+)/.exec(stdout)?.[1] === 'true'
}

rule('spares Node what reads TypeScript once nexd has run', async () => {
  await mkdir(join(folder, 'compile-cache'))
  assert.is(await readsTypeScript(folder), true)
  assert.is(await readsTypeScript(folder), false)
})

rule('makes no folder where nexd only shows its help', async () => {
  const missing = join(folder, 'missing')
  assert.is(await readsTypeScript(missing), true)
  assert.is(existsSync(missing), false)
})

rule.run()
