import { createPublicKey } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { verifyAsync } from '@noble/ed25519'
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { concat, fromHex, toHex, utf8 } from '../../crypto/bytes.ts'
import { KeyError } from '../../crypto/keys.ts'
import {
  generateSigningKeyPair,
  parseSigningPublicKey,
  type SigningPublicKey,
  seedOf,
  sign,
  signingKeyPairFromSeed,
  verify,
} from '../../crypto/signing.ts'

const rule = suite('Ed25519 signatures (RFC 8032)')

interface Vector {
  readonly name: string
  readonly seed: string
  readonly publicKey: string
  readonly message: string
  readonly signature: string
}
const file = new URL('../vectors/crypto/rfc8032.json', import.meta.url)
const vectors: readonly Vector[] = JSON.parse(readFileSync(file, 'utf8')).vectors

const PRIME = 2n ** 255n - 19n
const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n

const littleEndian = (value: bigint): Uint8Array =>
  fromHex(value.toString(16).padStart(64, '0')).toReversed()

const withSign = (bytes: Uint8Array): Uint8Array =>
  Uint8Array.from(bytes, (byte, index) => (index === 31 ? byte | 0x80 : byte))

/** All points whose order divides 8, in canonical encoding. */
const SMALL_ORDER = [
  '0100000000000000000000000000000000000000000000000000000000000000',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0000000000000000000000000000000000000000000000000000000000000080',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa',
].map(fromHex)

/** The identity in every encoding that a lax decoder takes for it. */
const IDENTITIES = [littleEndian(1n), withSign(littleEndian(1n)), littleEndian(PRIME + 1n)]

/** R = identity, S = 0. */
const FIXED_SIGNATURE = concat(littleEndian(1n), littleEndian(0n))

/** A verifier that takes any encoding of any point: ZIP 215's rules. */
const laxAccepts = (key: Uint8Array, message: Uint8Array): Promise<boolean> =>
  verifyAsync(FIXED_SIGNATURE, message, key, { zip215: true })

const isRefused = (bytes: Uint8Array): void =>
  assert.throws(
    () => parseSigningPublicKey(bytes),
    (error: unknown) => error instanceof KeyError && error.code === 'ERR_KEY',
    toHex(bytes),
  )

for (const vector of vectors) {
  rule(`signs and verifies RFC 8032 §7.1 ${vector.name}`, () => {
    const pair = signingKeyPairFromSeed(fromHex(vector.seed))
    const message = fromHex(vector.message)
    assert.is(toHex(pair.publicKey), vector.publicKey)
    assert.is(toHex(sign(pair.privateKey, message)), vector.signature)
    const parsed = parseSigningPublicKey(fromHex(vector.publicKey))
    assert.ok(verify(parsed, message, fromHex(vector.signature)))
    assert.not(verify(parsed, concat(message, utf8('.')), fromHex(vector.signature)))
  })
}

rule('shows why: Node imports every key of small order as if it were good', () => {
  for (const key of [...IDENTITIES, ...SMALL_ORDER]) {
    const der = Buffer.from(concat(fromHex('302a300506032b6570032100'), key))
    assert.is(
      createPublicKey({ key: der, format: 'der', type: 'spki' }).asymmetricKeyType,
      'ed25519',
    )
  }
})

// Node 20.20 (OpenSSL 3.0.19) verifies so, too; 24.21 (OpenSSL 3.5.8) does not. Nothing depends on it.
rule('shows why: a verifier without our check takes one signature for any message', async () => {
  for (const key of [...IDENTITIES, ...SMALL_ORDER]) {
    for (const message of ['pay the bearer', 'let me in', '']) {
      assert.ok(await laxAccepts(key, utf8(message)), toHex(key))
    }
  }
})

rule('refuses every key of small order', () => {
  for (const key of SMALL_ORDER) isRefused(key)
})

rule('refuses every encoding that is not canonical', () => {
  for (let excess = 0n; excess < 19n; excess += 1n) {
    isRefused(littleEndian(PRIME + excess))
    isRefused(withSign(littleEndian(PRIME + excess)))
  }
  // x = 0 has no sign to carry.
  isRefused(withSign(littleEndian(1n)))
  isRefused(withSign(littleEndian(PRIME - 1n)))
})

rule('refuses what is no point, and other lengths', () => {
  isRefused(littleEndian(2n))
  const key = generateSigningKeyPair().publicKey
  for (const length of [0, 31]) isRefused(key.subarray(0, length))
  isRefused(concat(key, new Uint8Array(1)))
})

rule('refuses again what it refused before', () => {
  for (let time = 0; time < 3; time += 1) isRefused(littleEndian(1n))
})

rule('verifies nothing with a key that was cast past the check, nor admits it afterwards', () => {
  for (const key of [...IDENTITIES, ...SMALL_ORDER]) {
    assert.not(verify(key as SigningPublicKey<'test'>, utf8('let me in'), FIXED_SIGNATURE))
    isRefused(key)
  }
})

rule('accepts the keys of honest makers', () => {
  for (const { publicKey } of vectors) parseSigningPublicKey(fromHex(publicKey))
  const property = fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (seed) => {
    const pair = signingKeyPairFromSeed(seed)
    assert.equal(parseSigningPublicKey(pair.publicKey), pair.publicKey)
    assert.equal(seedOf(pair), seed)
  })
  fc.assert(property, { numRuns: 30 })
})

rule('keeps a key apart from the bytes it was parsed from', () => {
  const pair = generateSigningKeyPair()
  const bytes = Uint8Array.from(pair.publicKey)
  const key = parseSigningPublicKey(bytes)
  bytes.fill(0)
  assert.ok(verify(key, utf8('hello'), sign(pair.privateKey, utf8('hello'))))
})

rule('refuses a flip of any bit of signature, message or key', () => {
  const pair = signingKeyPairFromSeed(fromHex('11'.repeat(32)))
  const message = utf8('a message')
  const signature = sign(pair.privateKey, message)
  const flipped = (bytes: Uint8Array, bit: number): Uint8Array =>
    Uint8Array.from(bytes, (byte, index) => (index === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte))
  for (let bit = 0; bit < 512; bit += 1) {
    assert.not(verify(pair.publicKey, message, flipped(signature, bit)))
  }
  for (let bit = 0; bit < message.length * 8; bit += 1) {
    assert.not(verify(pair.publicKey, flipped(message, bit), signature))
  }
  for (let bit = 0; bit < 256; bit += 5) {
    const other = flipped(pair.publicKey, bit) as SigningPublicKey<'test'>
    assert.not(verify(other, message, signature))
  }
})

rule('refuses a signature made malleable by adding the order of the group', () => {
  const pair = signingKeyPairFromSeed(fromHex('22'.repeat(32)))
  const signature = sign(pair.privateKey, utf8('once'))
  const scalar = BigInt(`0x${toHex(signature.slice(32).toReversed())}`)
  const second = concat(signature.subarray(0, 32), littleEndian(scalar + ORDER))
  assert.ok(verify(pair.publicKey, utf8('once'), signature))
  assert.not(verify(pair.publicKey, utf8('once'), second))
})

rule('says false, and does not throw, for a signature of any other length', () => {
  const { publicKey } = generateSigningKeyPair()
  for (const length of [0, 1, 32, 63, 65, 128]) {
    assert.is(verify(publicKey, utf8('m'), new Uint8Array(length)), false)
  }
})

rule('goes on verifying after more keys than it remembers', () => {
  const first = signingKeyPairFromSeed(fromHex('33'.repeat(32)))
  const signature = sign(first.privateKey, utf8('still here'))
  assert.ok(verify(first.publicKey, utf8('still here'), signature))
  for (let index = 0; index < 4200; index += 1) {
    parseSigningPublicKey(signingKeyPairFromSeed(littleEndian(BigInt(index))).publicKey)
  }
  assert.ok(verify(first.publicKey, utf8('still here'), signature))
})

rule('refuses a seed of another length', () => {
  for (const length of [0, 31, 33]) {
    assert.throws(
      () => signingKeyPairFromSeed(new Uint8Array(length)),
      (error: unknown) => error instanceof KeyError,
    )
  }
})

rule('makes a new key each time', () => {
  assert.is.not(
    toHex(generateSigningKeyPair().publicKey),
    toHex(generateSigningKeyPair().publicKey),
  )
})

rule.run()
