import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  NONCE_BYTES,
  open,
  openParts,
  seal,
  sealingKey,
  sealParts,
  TAG_BYTES,
} from '../../crypto/aead.ts'
import { concat, fromHex, utf8 } from '../../crypto/bytes.ts'
import { KeyError } from '../../crypto/keys.ts'

const rule = suite('ChaCha20-Poly1305 (RFC 8439)')

type Vector = Readonly<
  Record<'name' | 'key' | 'nonce' | 'associated' | 'plaintext' | 'sealed', string>
>
const file = new URL('../vectors/crypto/rfc8439.json', import.meta.url)
const vectors: readonly Vector[] = JSON.parse(readFileSync(file, 'utf8')).vectors

const KEY = sealingKey(fromHex('0a'.repeat(32)))
const NONCE = new Uint8Array(NONCE_BYTES)

for (const vector of vectors) {
  rule(`seals and opens RFC 8439 ${vector.name}`, () => {
    const key = sealingKey(fromHex(vector.key))
    const [nonce, associated] = [fromHex(vector.nonce), fromHex(vector.associated)]
    const [plaintext, sealed] = [fromHex(vector.plaintext), fromHex(vector.sealed)]
    assert.equal(seal(key, nonce, plaintext, associated), sealed)
    assert.equal(open(key, nonce, sealed, associated), plaintext)
  })
}

const nonces = fc.uint8Array({ minLength: NONCE_BYTES, maxLength: NONCE_BYTES })

rule('opens what it sealed, 16 bytes longer, with and without associated data', () => {
  const anything = fc.uint8Array({ maxLength: 300 })
  const property = fc.property(anything, nonces, fc.option(anything), (plaintext, nonce, data) => {
    const sealed = seal(KEY, nonce, plaintext, data ?? undefined)
    assert.is(sealed.length, plaintext.length + TAG_BYTES)
    assert.equal(open(KEY, nonce, sealed, data ?? undefined), plaintext)
  })
  fc.assert(property)
})

rule('seals and opens the same in parts, without associated data', () => {
  const property = fc.property(fc.uint8Array({ maxLength: 300 }), nonces, (plaintext, nonce) => {
    const [ciphertext, tag] = sealParts(KEY, nonce, plaintext)
    assert.equal(concat(ciphertext, tag), seal(KEY, nonce, plaintext))
    const opened = openParts(KEY, nonce, ciphertext, tag)
    assert.equal(opened && Uint8Array.from(opened), plaintext)
    assert.is(openParts(KEY, nonce, ciphertext, tag.with(3, (tag[3] ?? 0) ^ 1)), undefined)
  })
  fc.assert(property)
})

rule('does not open after a flip of any bit', () => {
  const sealed = seal(KEY, NONCE, utf8('attack at dawn'), utf8('header'))
  for (let bit = 0; bit < sealed.length * 8; bit += 1) {
    const flipped = Uint8Array.from(sealed)
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    assert.is(open(KEY, NONCE, flipped, utf8('header')), undefined)
  }
})

rule('does not open with another key, nonce, associated data or length', () => {
  const sealed = seal(KEY, NONCE, utf8('attack at dawn'), utf8('header'))
  assert.is(open(sealingKey(new Uint8Array(32)), NONCE, sealed, utf8('header')), undefined)
  assert.is(open(KEY, NONCE.with(11, 1), sealed, utf8('header')), undefined)
  assert.is(open(KEY, NONCE, sealed, utf8('Header')), undefined)
  assert.is(open(KEY, NONCE, sealed), undefined)
  for (let length = 0; length < sealed.length; length += 1) {
    assert.is(open(KEY, NONCE, sealed.subarray(0, length), utf8('header')), undefined)
  }
})

rule('opens nothing of any bytes, without throwing', () => {
  const property = fc.property(fc.uint8Array({ maxLength: 80 }), nonces, (bytes, nonce) => {
    assert.is(open(KEY, nonce, bytes), undefined)
  })
  fc.assert(property)
})

rule('refuses nonces and keys of other lengths', () => {
  for (const length of [0, 8, 11, 13, 24]) {
    const nonce = new Uint8Array(length)
    assert.throws(() => seal(KEY, nonce, utf8('x')), /nonce has \d+ bytes, want 12/)
    assert.throws(() => open(KEY, nonce, new Uint8Array(20)), /nonce has \d+ bytes, want 12/)
  }
  for (const length of [0, 16, 31, 33]) {
    assert.throws(
      () => sealingKey(new Uint8Array(length)),
      (error: unknown) => error instanceof KeyError,
    )
  }
})

rule.run()
