/** X25519 (RFC 7748): WireGuard's keys. */
import { createPublicKey, diffieHellman, type KeyObject, randomBytes } from 'node:crypto'
import { type Brand, moved, toHex, wipe } from './bytes.ts'
import {
  HiddenKey,
  KeyError,
  privateKeyObject,
  publicKeyObject,
  rawPrivate,
  rawPublic,
} from './keys.ts'

export type AgreementPublicKey = Brand<Uint8Array, 'x25519-public'>
export type AgreementPrivateKey = Brand<HiddenKey, 'x25519-private'>

export interface AgreementKeyPair {
  readonly publicKey: AgreementPublicKey
  readonly privateKey: AgreementPrivateKey
}

/** The points of small order in canonical encoding, hexadecimal (RFC 7748 §6.1): with these the secret
 *  is all zero whatever the other key. */
const SMALL_ORDER: ReadonlySet<string> = new Set([
  '00'.repeat(32),
  `01${'00'.repeat(31)}`,
  'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
  '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
  `ec${'ff'.repeat(30)}7f`,
])

/** 32 bytes, the one encoding of a point that is not of small order. Throws KeyError. Stricter than RFC
 *  7748 §5, which takes a second encoding for the same point: for us a key is also a name. */
export function parseAgreementPublicKey(bytes: Uint8Array): AgreementPublicKey {
  if (bytes.length !== 32)
    throw new KeyError(`X25519 public key has ${bytes.length} bytes, want 32`)
  if (!isCanonical(bytes)) throw new KeyError('X25519 public key is not canonical')
  if (SMALL_ORDER.has(toHex(bytes))) throw new KeyError('X25519 public key is of small order')
  return Uint8Array.from(bytes) as AgreementPublicKey
}

/** Below 2^255 - 19, little-endian. */
function isCanonical(bytes: Uint8Array): boolean {
  const [low = 0, ...others] = bytes
  const high = others.pop() ?? 0
  if (high !== 0x7f) return high < 0x7f
  return low < 0xed || others.some((byte) => byte !== 0xff)
}

export function generateAgreementKeyPair(): AgreementKeyPair {
  return agreementKeyPairFromPrivate(randomBytes(32))
}

/** Throws KeyError unless `bytes` are 32. */
export function agreementKeyPairFromPrivate(bytes: Uint8Array): AgreementKeyPair {
  const scalar = clamped(bytes)
  const key = privateKeyObject('x25519', scalar)
  wipe(scalar)
  return {
    publicKey: rawPublic(createPublicKey(key)) as AgreementPublicKey,
    privateKey: new HiddenKey(key) as AgreementPrivateKey,
  }
}

/** RFC 7748 §5, as `wg genkey` does it, so that other tools show the same private key. */
function clamped(bytes: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(bytes)
  if (bytes.length !== 32) return copy
  copy[0] = (copy[0] ?? 0) & 248
  copy[31] = ((copy[31] ?? 0) & 127) | 64
  return copy
}

/** The 32 private bytes: for a key file and for WireGuard. */
export function privateBytesOf(pair: AgreementKeyPair): Uint8Array {
  return rawPrivate(pair.privateKey.reveal())
}

/** 32 bytes. Throws KeyError where it would be all zero (RFC 7748 §6.1), which no parsed key makes it. */
export function sharedSecret(
  privateKey: AgreementPrivateKey,
  publicKey: AgreementPublicKey,
): Uint8Array {
  const secret = agreed(privateKey.reveal(), publicKeyObject('x25519', publicKey))
  if (secret.some((byte) => byte !== 0)) return secret
  throw new KeyError('X25519 public key is of small order')
}

function agreed(privateKey: KeyObject, publicKey: KeyObject): Uint8Array {
  try {
    return moved(diffieHellman({ privateKey, publicKey }))
  } catch (cause) {
    throw new KeyError('X25519 public key is of small order', { cause })
  }
}
