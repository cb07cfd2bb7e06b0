import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  addressBytes,
  addressFromBytes,
  formatEndpoint,
  parseEndpoint,
  parseIpAddress,
  parsePrefix,
  prefixContains,
  prefixesOverlap,
} from '../../protocol/address.ts'
import { MalformedError } from '../../protocol/errors.ts'

const rule = suite('address')

rule('reads an address to its one canonical text', () => {
  assert.is(parseIpAddress('2001:DB8:0:0::1'), '2001:db8::1')
  assert.is(parseIpAddress('::ffff:192.0.2.1'), '192.0.2.1')
  assert.is(parseIpAddress('100.64.0.7'), '100.64.0.7')
})

rule('refuses what only looks like an address', () => {
  for (const text of [
    '',
    '1.2.3',
    '010.1.1.1',
    '1.2.3.256',
    'fe80::1%eth0',
    ':::',
    '1.2.3.4 ',
    'example.org',
  ]) {
    assert.throws(
      () => parseIpAddress(text),
      (error: unknown) => error instanceof MalformedError,
      text,
    )
  }
})

rule('refuses a prefix with host bits set, and names it', () => {
  assert.throws(
    () => parsePrefix('10.0.0.1/8'),
    /malformed prefix "10\.0\.0\.1\/8" has host bits set/,
  )
  assert.throws(() => parsePrefix('10.0.0.0/33'), /length must be 0 to 32/)
  assert.throws(() => parsePrefix('10.0.0.0/08'), /length must be/)
  assert.throws(() => parsePrefix('10.0.0.0/8/8'), /length must be/)
})

rule('takes a bare address for its host prefix', () => {
  assert.is(parsePrefix('10.99.0.1'), '10.99.0.1/32')
  assert.is(parsePrefix('FD00::1'), 'fd00::1/128')
})

rule('knows what contains and what overlaps', () => {
  const p = parsePrefix
  assert.is(prefixContains(p('10.0.0.0/8'), p('10.1.2.0/24')), true)
  assert.is(prefixContains(p('10.1.2.0/24'), p('10.0.0.0/8')), false)
  assert.is(prefixContains(p('0.0.0.0/0'), p('10.1.2.3/32')), true)
  assert.is(prefixContains(p('::/0'), p('10.1.2.3/32')), false)
  assert.is(prefixesOverlap(p('10.1.2.0/24'), p('10.0.0.0/8')), true)
  assert.is(prefixesOverlap(p('10.1.2.0/25'), p('10.1.2.128/25')), false)
  assert.is(prefixContains(p('fd00:1::/35'), p('fd00:1:1fff::/48')), true)
  assert.is(prefixContains(p('fd00:1::/35'), p('fd00:1:2000::/48')), false)
})

rule('reads back what it formats', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array({ minLength: 4, maxLength: 4 }),
        fc.uint8Array({ minLength: 16, maxLength: 16 }),
      ),
      fc.integer({ min: 1, max: 65535 }),
      (bytes, port) => {
        const address = addressFromBytes(bytes)
        assert.is(parseIpAddress(address), address)
        assert.equal(addressFromBytes(addressBytes(address)), address)
        assert.equal(parseEndpoint(formatEndpoint({ address, port })), { address, port })
      },
    ),
  )
})

rule('returns a value or one typed error for any text', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 60 }), (text) => {
      for (const parse of [parseIpAddress, parsePrefix, parseEndpoint]) {
        try {
          parse(text)
        } catch (error) {
          assert.instance(error, MalformedError)
        }
      }
    }),
  )
})

rule.run()
