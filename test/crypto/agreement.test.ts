import { readFileSync } from 'node:fs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  type AgreementPublicKey,
  agreementKeyPairFromPrivate,
  generateAgreementKeyPair,
  parseAgreementPublicKey,
  privateBytesOf,
  sharedSecret,
} from '../../crypto/agreement.ts'
import { concat, fromHex, toHex } from '../../crypto/bytes.ts'
import { KeyError } from '../../crypto/keys.ts'

const rule = suite('X25519 agreement (RFC 7748)')

interface Vectors {
  readonly multiplications: readonly {
    name: string
    scalar: string
    point: string
    result: string
  }[]
  readonly iterations: readonly { times: number; result: string }[]
  readonly agreement: Readonly<Record<string, string>>
}
const file = new URL('../vectors/crypto/rfc7748.json', import.meta.url)
const vectors: Vectors = JSON.parse(readFileSync(file, 'utf8'))

const PRIME = 2n ** 255n - 19n
const littleEndian = (value: bigint): Uint8Array =>
  fromHex(value.toString(16).padStart(64, '0')).toReversed()

const SMALL_ORDER = [
  littleEndian(0n),
  littleEndian(1n),
  littleEndian(PRIME - 1n),
  fromHex('e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800'),
  fromHex('5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157'),
]

/** As RFC 7748 has it: any 32 bytes are a point. */
const multiply = (scalar: string, point: string): string => {
  const { privateKey } = agreementKeyPairFromPrivate(fromHex(scalar))
  return toHex(sharedSecret(privateKey, fromHex(point) as AgreementPublicKey))
}

const isKeyError = (error: unknown): boolean =>
  error instanceof KeyError && error.code === 'ERR_KEY'

for (const { name, scalar, point, result } of vectors.multiplications) {
  rule(`multiplies as RFC 7748 ${name}`, () => assert.is(multiply(scalar, point), result))
}

for (const { times, result } of vectors.iterations) {
  rule(`reaches RFC 7748 §5.2's value after ${times} iterations`, () => {
    let [scalar, point] = [`09${'00'.repeat(31)}`, `09${'00'.repeat(31)}`]
    for (let time = 0; time < times; time += 1) {
      ;[scalar, point] = [multiply(scalar, point), scalar]
    }
    assert.is(scalar, result)
  })
}

rule('agrees on the secret of RFC 7748 §6.1, from either side', () => {
  const { alicePrivate = '', alicePublic, bobPrivate = '', bobPublic, shared } = vectors.agreement
  const alice = agreementKeyPairFromPrivate(fromHex(alicePrivate))
  const bob = agreementKeyPairFromPrivate(fromHex(bobPrivate))
  assert.is(toHex(alice.publicKey), alicePublic)
  assert.is(toHex(bob.publicKey), bobPublic)
  assert.is(toHex(sharedSecret(alice.privateKey, bob.publicKey)), shared)
  assert.is(toHex(sharedSecret(bob.privateKey, alice.publicKey)), shared)
})

rule('refuses keys of small order where they enter, and again where they are used', () => {
  const { privateKey } = generateAgreementKeyPair()
  for (const key of SMALL_ORDER) {
    assert.throws(() => parseAgreementPublicKey(key), isKeyError, toHex(key))
    assert.throws(() => sharedSecret(privateKey, key as AgreementPublicKey), isKeyError, toHex(key))
  }
})

rule('refuses a second encoding of a point', () => {
  for (let excess = 0n; excess < 19n; excess += 1n) {
    assert.throws(() => parseAgreementPublicKey(littleEndian(PRIME + excess)), isKeyError)
  }
  const key = generateAgreementKeyPair().publicKey
  const second = Uint8Array.from(key, (byte, index) => (index === 31 ? byte | 0x80 : byte))
  assert.throws(() => parseAgreementPublicKey(second), /not canonical/)
  assert.equal(parseAgreementPublicKey(littleEndian(PRIME - 2n)), littleEndian(PRIME - 2n))
})

rule('refuses other lengths', () => {
  const key = generateAgreementKeyPair().publicKey
  for (const bytes of [key.subarray(1), concat(key, new Uint8Array(1)), new Uint8Array(0)]) {
    assert.throws(() => parseAgreementPublicKey(bytes), isKeyError)
    assert.throws(() => agreementKeyPairFromPrivate(bytes), isKeyError)
  }
})

rule('gives back the private key as wg(8) would show it', () => {
  const bytes = privateBytesOf(agreementKeyPairFromPrivate(new Uint8Array(32).fill(0xff)))
  assert.is(toHex(bytes), `f8${'ff'.repeat(30)}7f`)
  assert.equal(privateBytesOf(agreementKeyPairFromPrivate(bytes)), bytes)
})

rule('accepts the keys it makes', () => {
  for (let time = 0; time < 50; time += 1) {
    const { publicKey } = generateAgreementKeyPair()
    assert.equal(parseAgreementPublicKey(publicKey), publicKey)
  }
})

rule.run()
