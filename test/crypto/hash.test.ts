import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { concat, fromHex, toHex, utf8 } from '../../crypto/bytes.ts'
import { blake2s, hkdfSha256, hmacSha256, sha256 } from '../../crypto/hash.ts'

const rule = suite('hashes')

type Vector = Readonly<Record<string, string>>
const load = (file: string): Record<string, unknown> & { vectors: readonly Vector[] } =>
  JSON.parse(readFileSync(new URL(`../vectors/crypto/${file}`, import.meta.url), 'utf8'))
const bytes = (vector: Vector, field: string): Uint8Array => fromHex(vector[field] ?? '?')

for (const vector of load('rfc5869.json').vectors) {
  rule(`derives the keys of RFC 5869 ${vector['name']}`, () => {
    const okm = bytes(vector, 'okm')
    assert.equal(
      hkdfSha256(bytes(vector, 'ikm'), bytes(vector, 'salt'), bytes(vector, 'info'), okm.length),
      okm,
    )
  })
}

for (const vector of load('rfc4231.json').vectors) {
  rule(`authenticates RFC 4231 ${vector['name']}, in one part or several`, () => {
    const [key, message] = [bytes(vector, 'key'), bytes(vector, 'message')]
    assert.is(toHex(hmacSha256(key, message)), vector['tag'])
    assert.is(toHex(hmacSha256(key, message.subarray(0, 3), message.subarray(3))), vector['tag'])
  })
}

rule('hashes "abc" to the SHA-256 of FIPS 180-4', () => {
  const expected = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
  assert.is(toHex(sha256(utf8('abc'))), expected)
  assert.is(toHex(sha256(utf8('a'), utf8(''), utf8('bc'))), expected)
})

rule('hashes parts as it hashes the whole', () => {
  const property = fc.property(fc.array(fc.uint8Array()), fc.uint8Array(), (parts, key) => {
    assert.equal(sha256(...parts), sha256(concat(...parts)))
    assert.equal(hmacSha256(key, ...parts), hmacSha256(key, concat(...parts)))
  })
  fc.assert(property)
})

/** RFC 7693 appendix E: a sequence that depends on its length and a seed. */
const selfTestSequence = (length: number, seed: number): Uint8Array => {
  let a = Math.imul(0xdead4bad, seed) >>> 0
  let b = 1
  return Uint8Array.from({ length }, () => {
    const sum = (a + b) >>> 0
    a = b
    b = sum
    return sum >>> 24
  })
}

interface SelfTest {
  readonly lengths: readonly number[]
  readonly inputs: readonly number[]
  readonly result: string
}

rule('passes the self-test of RFC 7693 appendix E, keyed and not', () => {
  const { selfTest } = load('rfc7693.json') as unknown as { selfTest: SelfTest }
  const hashes = selfTest.lengths.flatMap((length) =>
    selfTest.inputs.flatMap((input) => {
      const data = selfTestSequence(input, input)
      const key = selfTestSequence(length, length)
      return [blake2s(data, { length }), blake2s(data, { length, key })]
    }),
  )
  assert.is(toHex(blake2s(concat(...hashes))), selfTest.result)
})

rule('hashes "abc" to the BLAKE2s of RFC 7693 appendix B', () => {
  assert.is(toHex(blake2s(utf8('abc'))), load('rfc7693.json')['abc'])
})

rule.run()
