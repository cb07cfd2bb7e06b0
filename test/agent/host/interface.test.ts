// time limit: 60 s
/** Interfaces, by `ip` and by rtnetlink: what the host has is the same. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { needs } from '../../support/needs.ts'

needs('root', 'netns')

const SCRIPT = fileURLToPath(new URL('interface-process.ts', import.meta.url))
const rule = suite('interfaces by ip and by rtnetlink')
let [byIp, byNetlink]: readonly Record<string, unknown>[] = []

async function run(tool: string): Promise<Record<string, unknown>> {
  const inside = ['--net', '--mount', 'sh', '-c', 'mount -t sysfs sysfs /sys && exec "$@"', 'sh']
  const { stdout } = await promisify(execFile)('unshare', [
    ...inside,
    process.execPath,
    SCRIPT,
    tool,
  ])
  return JSON.parse(stdout)
}

rule.before(async () => {
  ;[byIp, byNetlink] = await Promise.all([run('ip'), run('netlink')])
})

for (const step of [
  ...['links', 'configured', 'there', 'changed', 'many', 'mtus'],
  ...['no IPv6', 'refused', 'deleted'],
])
  rule(`are the same (${step})`, () => {
    assert.ok(byIp?.[step] !== undefined)
    assert.equal(byNetlink?.[step], byIp?.[step])
  })

rule('are as they were to be', () => {
  const { links, configured, many, mtus, deleted, refused } = byNetlink ?? {}
  assert.equal(links, [
    { name: 'lo', kind: '', alias: '' },
    { name: 'tunnel0', kind: 'bridge', alias: 'nexodus 1 2 3' },
  ])
  assert.equal(configured, { hasIpv6: true })
  assert.equal(byNetlink?.['no IPv6'], { hasIpv6: false })
  assert.is(many, 300)
  assert.equal(mtus, [
    ['10.8.0.1', 1350],
    ['10.7.0.5', 1400],
  ])
  assert.equal(deleted, ['lo'])
  assert.equal(refused, Array(4).fill('ERR_COMMAND_FAILED'))
})

rule.run()
