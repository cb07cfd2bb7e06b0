import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  type Prefix,
  parseIpAddress,
  parsePrefix,
  prefixLength,
} from '../../../protocol/address.ts'
import {
  formatAddressRange,
  numberText,
  parseAddressRange,
  prefixRange,
  rangeContains,
} from '../../../protocol/address-range.ts'
import { holders } from '../../../protocol/policy-holders.ts'

const rule = suite('holders of addresses')

/** Prefixes that often lie inside each other. */
const PREFIX = fc
  .record({ length: fc.integer({ min: 20, max: 32 }), low: fc.integer({ min: 0, max: 4095 }) })
  .map(({ length, low }) => {
    const number = BigInt(10 << 24) + BigInt((low >> (32 - length)) << (32 - length))
    return parsePrefix(`${numberText(4, number)}/${length}`)
  })

rule('are those of the longest prefix, at every address', () => {
  fc.assert(
    fc.property(fc.uniqueArray(PREFIX, { maxLength: 12 }), fc.nat(4200), (prefixes, at) => {
      const table = holders(prefixes.map((prefix) => ({ prefixes: [prefix] })))
      const address = parseIpAddress(numberText(4, BigInt((10 << 24) + at - 50)))
      const longest = prefixes
        .filter((prefix) => rangeContains(prefixRange(prefix), address))
        .toSorted((a, b) => prefixLength(b) - prefixLength(a))[0]
      assert.equal(table.find(address)?.prefixes[0], longest)
      const segments = table.of(4)
      segments.forEach(({ first, last }, index) => {
        assert.ok(first <= last && (segments[index + 1]?.first ?? last + 1n) > last)
      })
    }),
  )
})

rule('of two that name one prefix the first has it', () => {
  const prefixes: Prefix[] = [parsePrefix('fd00::/64')]
  const [a, b] = [
    { name: 'a', prefixes },
    { name: 'b', prefixes: [...prefixes, parsePrefix('fd00::7/128')] },
  ]
  const table = holders([a, b])
  assert.is(table.find(parseIpAddress('fd00::1'))?.name, 'a')
  assert.is(table.find(parseIpAddress('fd00::7'))?.name, 'b')
  assert.is(table.find(parseIpAddress('fd01::7')), undefined)
})

const range = suite('address range')
for (const [text, form] of [
  ['10.0.0.1', '10.0.0.1'],
  ['10.0.0.1/32', '10.0.0.1'],
  ['10.0.0.0/8', '10.0.0.0/8'],
  ['10.0.0.0-10.255.255.255', '10.0.0.0/8'],
  ['10.0.0.1-10.0.0.2', '10.0.0.1-10.0.0.2'],
  ['10.0.0.5 - 10.0.0.5', '10.0.0.5'],
  ['FD00:0::7', 'fd00::7'],
  ['fd00::-fd00::ff', 'fd00::/120'],
  ['fd00::1-fd00::ff', 'fd00::1-fd00::ff'],
  ['0.0.0.0/0', '0.0.0.0/0'],
  ['::/0', '::/0'],
] as const) {
  range(`reads ${text}`, () => assert.is(formatAddressRange(parseAddressRange(text)), form))
}
for (const [text, says] of [
  ['10.0.0.1/8', /host bits/],
  ['10.0.0.9-10.0.0.1', /first address is after its last/],
  ['10.0.0.1-fd00::1', /two addresses of one family/],
  ['10.0.0.1-10.0.0.2-10.0.0.3', /two addresses of one family/],
  ['10.0.0.0/8-10.0.0.9', /IP address/],
  ['10.0.0', /IP address/],
  ['', /IP address/],
  ['-', /IP address/],
  ['fd00::1%eth0', /IP address/],
] as const) {
  range(`refuses "${text}"`, () => assert.throws(() => parseAddressRange(text), says))
}

rule.run()
range.run()
