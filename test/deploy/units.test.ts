/** The systemd units, as systemd itself reads them. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { needs } from '../support/needs.ts'
import { tempDir } from '../support/temp-dir.ts'

needs('systemd-analyze')

const UNITS = fileURLToPath(new URL('../../deploy/systemd', import.meta.url))
/** The most that `systemd-analyze security` may find exposed, in tenths: 10 of 10 is a unit without hardening. */
const MOST_EXPOSED: Record<string, number> = { 'nexodus-registry.service': 15, 'nexd.service': 30 }

function analyze(...args: string[]) {
  const { status, stdout, stderr } = spawnSync('systemd-analyze', args, { encoding: 'utf8' })
  return { status, output: stdout + stderr }
}

const rule = suite('systemd units')

rule('are these', () => {
  const known = [...Object.keys(MOST_EXPOSED), 'nexodus-registry.conf']
  assert.equal(readdirSync(UNITS).toSorted(), known.toSorted())
})

rule('the registry runs as the user that systemd-sysusers makes, and who stays', async () => {
  await using folder = await tempDir()
  mkdirSync(join(folder.path, 'etc'))
  const wanted = join(UNITS, 'nexodus-registry.conf')
  const { status, stderr } = spawnSync('systemd-sysusers', [`--root=${folder.path}`, wanted], {
    encoding: 'utf8',
  })
  assert.is(status, 0, stderr)
  const made = readFileSync(join(folder.path, 'etc/passwd'), 'utf8').split('\n')[0]?.split(':')
  const unit = readFileSync(join(UNITS, 'nexodus-registry.service'), 'utf8')
  assert.not.match(unit, /^DynamicUser=/m)
  const [, directory] = /^StateDirectory=(.*)$/m.exec(unit) ?? []
  assert.equal([made?.[0], made?.[5]], [/^User=(.*)$/m.exec(unit)?.[1], `/var/lib/${directory}`])
})

for (const [unit, most] of Object.entries(MOST_EXPOSED)) {
  rule(`are read by systemd without a word (${unit})`, async () => {
    await using folder = await tempDir()
    // systemd looks whether the program is there; Node may be anywhere on this machine.
    const text = readFileSync(join(UNITS, unit), 'utf8')
    await folder.write({ [unit]: text.replace('/usr/bin/node', process.execPath) })
    const { status, output } = analyze('verify', '--man=no', join(folder.path, unit))
    assert.is(output, '')
    assert.is(status, 0)
  })

  rule(`expose no more than ${most / 10} of 10 (${unit})`, () => {
    const { status, output } = analyze(
      'security',
      '--offline=yes',
      `--threshold=${most}`,
      join(UNITS, unit),
    )
    assert.is(status, 0, output.split('\n').slice(-3).join('\n'))
  })
}

rule.run()
