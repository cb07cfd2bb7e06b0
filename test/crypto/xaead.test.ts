import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { fromHex, toHex, utf8 } from '../../crypto/bytes.ts'
import { openWithLongNonce, sealWithLongNonce } from '../../crypto/xaead.ts'

const rule = suite('XChaCha20-Poly1305')

// draft-irtf-cfrg-xchacha-03, A.3.1.
const KEY = fromHex('808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f')
const NONCE = fromHex('404142434445464748494a4b4c4d4e4f5051525354555657')
const ASSOCIATED = fromHex('50515253c0c1c2c3c4c5c6c7')
const PLAINTEXT = utf8(
  "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.",
)
const TAG = 'c0875924c1c7987947deafd8780acf49'

rule('seals and opens the example of the draft', () => {
  const sealed = sealWithLongNonce(KEY, NONCE, PLAINTEXT, ASSOCIATED)
  assert.is(toHex(sealed.subarray(0, 16)), 'bd6d179d3e83d43b9576579493c0e939')
  assert.is(toHex(sealed.subarray(-16)), TAG)
  assert.equal(openWithLongNonce(KEY, NONCE, sealed, ASSOCIATED), PLAINTEXT)
})

rule('does not open with another key, nonce, associated data or byte', () => {
  const sealed = sealWithLongNonce(KEY, NONCE, PLAINTEXT, ASSOCIATED)
  assert.is(openWithLongNonce(KEY.with(0, 1), NONCE, sealed, ASSOCIATED), undefined)
  assert.is(openWithLongNonce(KEY, NONCE.with(23, 1), sealed, ASSOCIATED), undefined)
  assert.is(openWithLongNonce(KEY, NONCE, sealed, ASSOCIATED.with(0, 1)), undefined)
  for (let at = 0; at < sealed.length; at += 1) {
    const flipped = sealed.with(at, (sealed[at] ?? 0) ^ 1)
    assert.is(openWithLongNonce(KEY, NONCE, flipped, ASSOCIATED), undefined)
  }
})

rule.run()
