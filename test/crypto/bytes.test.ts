import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  concat,
  EncodingError,
  equal,
  fromBase32,
  fromBase64,
  fromBase64url,
  fromHex,
  fromUtf8,
  toBase32,
  toBase64,
  toBase64url,
  toHex,
  utf8,
} from '../../crypto/bytes.ts'

const rule = suite('bytes and their text forms')

interface Coding {
  readonly encode: (bytes: Uint8Array) => string
  readonly decode: (text: string) => Uint8Array
  readonly alphabet: string
}
const codings = {
  hex: { encode: toHex, decode: fromHex, alphabet: '0123456789abcdefAF g' },
  base32: {
    encode: toBase32,
    decode: fromBase32,
    alphabet: 'abcdefghijklmnopqrstuvwxyz234567A1= ',
  },
  base64: { encode: toBase64, decode: fromBase64, alphabet: 'ABCDEFGHmnopqrstuvwxyz0189+/-_= \n' },
  base64url: {
    encode: toBase64url,
    decode: fromBase64url,
    alphabet: 'ABCDEFmnopqrsyz0189+/-_= \n',
  },
} as const satisfies Record<string, Coding>
const all: readonly (readonly [string, Coding])[] = Object.entries(codings)

const isRefused = (decode: (text: string) => Uint8Array, text: string): void =>
  assert.throws(
    () => decode(text),
    (error: unknown) => error instanceof EncodingError && error.code === 'ERR_ENCODING',
    JSON.stringify(text),
  )

interface Vector {
  readonly text: string
  readonly hex: string
  readonly base32: string
  readonly base64: string
  readonly base64url: string
}

rule('encodes and decodes the vectors of RFC 4648 §10', () => {
  const file = new URL('../vectors/crypto/rfc4648.json', import.meta.url)
  const vectors: readonly Vector[] = JSON.parse(readFileSync(file, 'utf8')).vectors
  for (const vector of vectors) {
    for (const name of ['hex', 'base32', 'base64', 'base64url'] as const) {
      assert.is(codings[name].encode(utf8(vector.text)), vector[name])
      assert.equal(codings[name].decode(vector[name]), utf8(vector.text))
    }
  }
})

for (const [name, { encode, decode, alphabet }] of all) {
  rule(`${name} decodes what it encoded`, () => {
    const property = fc.property(fc.uint8Array({ maxLength: 70 }), (bytes) => {
      assert.equal(decode(encode(bytes)), bytes)
    })
    fc.assert(property)
  })

  rule(`${name} has one text for each value: any other is refused`, () => {
    let decoded = 0
    const texts = fc.oneof(
      fc.string({ unit: fc.constantFrom(...alphabet), maxLength: 12 }),
      fc.string({ maxLength: 12 }),
    )
    const property = fc.property(texts, (text) => {
      try {
        assert.is(encode(decode(text)), text)
        decoded += 1
      } catch (error) {
        assert.instance(error, EncodingError)
      }
    })
    fc.assert(property, { numRuns: 1000 })
    assert.ok(decoded > 10, `only ${decoded} of 1000 texts were decoded`)
  })

  rule(`${name} encodes a view into a larger buffer`, () => {
    const whole = Uint8Array.from({ length: 40 }, (_, index) => index * 7)
    assert.is(encode(whole.subarray(5, 17)), encode(whole.slice(5, 17)))
  })
}

rule('refuses bits left over, padding where none belongs, white space and other letters', () => {
  const bad: readonly (readonly [(text: string) => Uint8Array, readonly string[]])[] = [
    [fromHex, ['0', '0A', '0x', '00 ', ' 00', '0g']],
    [fromBase32, ['mz', 'm', 'mzx', 'mzxw6y', 'my======', 'MY', 'm1', 'my ', 'my\n', 'mÿ']],
    [fromBase64, ['Zg', 'Zg=', 'Zh==', 'Zg==\n', ' Zg==', 'Zg==Zg==', 'Zm9v=', '-_-_', '=', 'Z']],
    [fromBase64url, ['Zg==', 'Zh', 'Zm9', '+/+/', 'Zg ', 'Zg\n', 'Z']],
  ]
  for (const [decode, texts] of bad) for (const text of texts) isRefused(decode, text)
})

rule('gives bytes of their own memory', () => {
  assert.is(fromHex('00'.repeat(9)).buffer.byteLength, 9)
  assert.is(fromBase64('AAAA').buffer.byteLength, 3)
  assert.is(fromBase64url('AAAA').buffer.byteLength, 3)
})

rule('refuses bytes that are not UTF-8, and keeps a byte order mark', () => {
  for (const hex of ['ff', 'c328', 'c080', 'eda080', 'f4908080', 'e28c']) {
    assert.throws(
      () => fromUtf8(fromHex(hex)),
      (error: unknown) => error instanceof EncodingError,
      hex,
    )
  }
  assert.is(fromUtf8(fromHex('efbbbf61')), '\ufeffa')
})

rule('decodes the UTF-8 it encoded', () => {
  const property = fc.property(fc.string({ unit: 'grapheme' }), (text) => {
    assert.is(fromUtf8(utf8(text)), text)
  })
  fc.assert(property)
})

rule('compares by value, of any two lengths', () => {
  const property = fc.property(fc.uint8Array(), fc.uint8Array(), (a, b) => {
    assert.is(equal(a, b), toHex(a) === toHex(b))
    assert.ok(equal(a, Uint8Array.from(a)))
  })
  fc.assert(property)
})

rule('joins parts in order', () => {
  assert.equal(concat(), new Uint8Array(0))
  assert.equal(concat(fromHex('01'), fromHex(''), fromHex('0203')), fromHex('010203'))
})

rule.run()
