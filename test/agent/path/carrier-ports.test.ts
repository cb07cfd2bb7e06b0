import { spawnSync } from 'node:child_process'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { needs } from '../../support/needs.ts'

needs('netns')
const rule = suite('ports of relay carriers')
const PROGRAM = new URL('carrier-ports.ts', import.meta.url).pathname

rule('are never the one that WireGuard is about to take', () => {
  const command = ['--net', process.execPath, PROGRAM, '40000', '40001']
  const { stdout, stderr } = spawnSync('unshare', command, { encoding: 'utf8' })
  assert.is(stderr, '')
  assert.equal(
    JSON.parse(stdout),
    Array.from({ length: 16 }, () => [40_001, 40_001]),
  )
})

rule.run()
