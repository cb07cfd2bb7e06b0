import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { fromHex } from '../../crypto/bytes.ts'
import { decodeCbor, encodeCbor } from '../../protocol/codec.ts'
import { MalformedError } from '../../protocol/errors.ts'

const rule = suite('CBOR (SPEC §3.1)')
const refused = (bytes: Uint8Array): void => {
  assert.throws(
    () => decodeCbor(bytes, 'test'),
    (error: unknown) => error instanceof MalformedError,
  )
}

for (const [what, hex] of [
  ['one key that is a list', 'a1800f'],
  ['two keys that are lists', 'a28000810100'],
  ['keys that are maps', 'a2a000a1000000'],
  ['keys that are bytes', 'a24000410000'],
  ['keys that are true and false', 'a2f400f500'],
  ['a key that is null', 'a1f600'],
] as const) {
  rule(`refuses a map with ${what}, by MalformedError`, () => refused(fromHex(hex)))
}

rule('reads a value or throws MalformedError, whatever is changed in a map of maps', () => {
  const inner = new Map<number | string, number>([
    [1, 2],
    ['x', 3],
  ])
  const written = encodeCbor(new Map([1, 2, 3, 4, 5].map((key) => [key, inner])))
  fc.assert(
    fc.property(
      fc.nat(written.length - 1),
      fc.nat(255),
      fc.nat(written.length - 1),
      fc.nat(255),
      (first, one, second, other) => {
        const changed = Uint8Array.from(written)
        changed[first] = one
        changed[second] = other
        try {
          decodeCbor(changed, 'test')
        } catch (error) {
          assert.instance(error, MalformedError)
        }
      },
    ),
    { numRuns: 20_000 },
  )
})

rule.run()
