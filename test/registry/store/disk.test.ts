// time limit: 240 s
/** The level store on a disk that is full, and on one that is read-only: file systems of their own. */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { needs } from '../../support/needs.ts'
import { temporaryDirectory } from '../../support/registry.ts'
import { quietOptions } from '../../support/registry-process.ts'

needs('mount')

const rule = suite('level store on a bad disk')
const fileOf = (path: string) => fileURLToPath(new URL(path, import.meta.url))
const MAIN = fileOf('../../../registry/main.ts')
const WRITER = fileOf('../../support/disk-writer.ts')

/** Runs commands of a shell where `$1` is a small disk that nobody else sees and that goes with them. */
async function onSmallDisk(script: string, args: readonly string[], size = '24m') {
  const disk = await temporaryDirectory()
  const mounted = `mount -t tmpfs -o size=${size} tmpfs "$1" && ${script}`
  const command = ['--mount', 'sh', '-c', mounted, 'sh', disk, process.execPath, ...args]
  return { ...spawnSync('unshare', command, { encoding: 'utf8' }), disk }
}

rule('that fills up: says so, accepts nothing more, and has all it acknowledged', async () => {
  const { stdout, stderr } = await onSmallDisk('exec "$2" "$3" "$1"', [WRITER])
  assert.ok(stdout !== '', stderr)
  const told = JSON.parse(stdout)
  assert.is(told.failures.length, 1)
  assert.match(told.failures[0], /writing to the store failed: .*No space left on device/)
  assert.match(told.failures[0], 'free some space: it then goes on')
  assert.match(told.after, 'writing to the store failed')
  assert.equal(told.lost, [])
  assert.ok(told.acknowledged > 100, `only ${told.acknowledged} writes`)
  assert.is(told.goesOn, true)
  assert.match(told.full, /^opened|No space left on device \(free some space/)
})

rule('that is full at the start: the registry says so in one line', async () => {
  const fill = '(cat /dev/zero > "$1/filler" 2>/dev/null; mkdir "$1/state" 2>/dev/null;'
  const { stderr, status } = await onSmallDisk(
    `${fill} exec "$2" "$3" --state-dir "$1/state" --listen 127.0.0.1:0)`,
    [MAIN],
    '1m',
  )
  assert.is(status, 1, stderr)
  assert.is(stderr.trim().split('\n').length, 1, stderr)
  assert.match(stderr, /no space left on device/i)
})

rule('that is read-only: the registry says so in one line, and changes nothing', async () => {
  const state = `mkdir "$1/state" && mount -o remount,ro "$1" &&`
  const options = quietOptions('X').slice(2).join(' ')
  const { stderr, status } = await onSmallDisk(
    `${state} exec "$2" "$3" --state-dir "$1/state" ${options}`,
    [MAIN],
  )
  assert.is(status, 1, stderr)
  assert.is(stderr.trim().split('\n').length, 1, stderr)
  assert.match(stderr, /read-only file system|EROFS/i)
})

rule.run()
