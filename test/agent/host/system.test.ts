/** The host's name, description and privileges. */
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { deviceName, hasNetAdmin, systemDescription } from '../../../agent/host/system.ts'

const rule = suite('system')

rule('makes a DNS label of a host’s name', () => {
  const cases = [
    ['laptop', 'laptop'],
    ['Ada-Laptop.example.org', 'ada-laptop'],
    ['ada_s laptop', 'ada-s-laptop'],
    ['-x-', 'x'],
    ['Ünïcode', 'n-code'],
    ['', 'device'],
    ['...', 'device'],
    ['___', 'device'],
    ['a'.repeat(80), 'a'.repeat(63)],
    [`${'a'.repeat(62)}--b`, 'a'.repeat(62)],
  ] as const
  for (const [hostname, label] of cases) assert.is(deviceName(hostname), label)
})

rule('makes a DNS label of anything', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
      assert.match(deviceName(text), /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/)
    }),
  )
})

rule('describes the system by its release and kernel', () => {
  const described = systemDescription('NAME=x\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n')
  assert.match(described, /^Debian GNU\/Linux 12 \(bookworm\), Linux \d.*, \w+$/)
  assert.match(systemDescription(''), /^Linux \d/)
  assert.match(systemDescription(), /Linux \d/)
})

rule('reads CAP_NET_ADMIN from the effective set, bit 12', () => {
  assert.is(hasNetAdmin('CapPrm:\t0000000000001000\nCapEff:\t0000000000000000\n'), false)
  assert.is(hasNetAdmin('CapEff:\t0000000000001000\n'), true)
  assert.is(hasNetAdmin('CapEff:\t000001ffffffefff\n'), false)
  assert.is(hasNetAdmin('nothing'), false)
})

rule.run()
