import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type CborValue, decodeCbor, encodeCbor } from '../../protocol/codec.ts'
import { MalformedError } from '../../protocol/errors.ts'

const cbor = suite('deterministic CBOR (SPEC §3.1)')
for (const [what, hex] of [
  ['a float', 'f93c00'],
  ['a longer integer than needed', '1801'],
  ['an indefinite list', '9f01ff'],
  ['a tag', 'c001'],
  ['undefined', 'f7'],
  ['unsorted keys', 'a202010102'],
  ['a repeated key', 'a201010102'],
  ['invalid UTF-8', '61ff'],
  ['two values', '0101'],
  ['an integer beyond 2^53', '1bffffffffffffffff'],
  ['nothing', ''],
] as const) {
  cbor(`refuses ${what}`, () => {
    assert.throws(
      () => decodeCbor(Uint8Array.from(Buffer.from(hex, 'hex')), 'value'),
      (error: unknown) => error instanceof MalformedError,
    )
  })
}

cbor('refuses a value nested without end, and does not fall over', () => {
  for (const [open, count] of [
    ['81', 60_000],
    ['a100', 30_000],
  ] as const) {
    const nested = Uint8Array.from(Buffer.from(`${open.repeat(count)}00`, 'hex'))
    assert.throws(
      () => decodeCbor(nested, 'value'),
      (error: unknown) => error instanceof MalformedError,
    )
  }
})

cbor('reads back what it wrote', () => {
  const value = new Map<CborValue, CborValue>([
    [1, ['a', new Uint8Array([1]), true, null]],
    [-5, new Map([[0, 2 ** 40]])],
  ])
  assert.equal(decodeCbor(encodeCbor(value), 'value'), value)
})

cbor.run()
