import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isUsable, mayBeChecked } from '../../../agent/host/usable-address.ts'
import { parseIpAddress } from '../../../protocol/address.ts'

const rule = suite('usable addresses')

for (const text of [
  ...['192.168.1.10', '10.0.0.1', '100.64.0.1', '198.51.100.7', '172.16.0.1'],
  ...['2001:db8::1', 'fd00::1', '2600::1'],
]) {
  rule(`${text} is one host's`, () => {
    assert.ok(isUsable(parseIpAddress(text)))
    assert.ok(mayBeChecked(parseIpAddress(text), false))
  })
}

for (const text of [
  ...['224.0.0.1', '239.255.255.250', '255.255.255.255', '240.0.0.1', '0.0.0.0', '0.1.2.3'],
  ...['169.254.169.254', 'ff02::1', 'ff05::c', '::', 'fe80::1', '::ffff:224.0.0.1'],
]) {
  rule(`${text} is checked by nobody`, () => {
    for (const isAlone of [true, false]) assert.not(mayBeChecked(parseIpAddress(text), isAlone))
    assert.not(isUsable(parseIpAddress(text)))
  })
}

for (const text of ['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1']) {
  rule(`${text} is checked only by a host that has no other address`, () => {
    assert.ok(mayBeChecked(parseIpAddress(text), true))
    assert.not(mayBeChecked(parseIpAddress(text), false))
    assert.not(isUsable(parseIpAddress(text)))
  })
}

rule.run()
