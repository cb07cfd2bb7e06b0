/** Ed25519 (RFC 8032), keys branded by role. Node signs and verifies; every public key that enters
 *  passes noble's strict point check once: with a key of small order or in a second encoding, which Node
 *  imports without a word, OpenSSL 3.0 takes one fixed signature for every message (3.5 does not; nothing
 *  here depends on it). */
import {
  createPublicKey,
  type KeyObject,
  sign as nodeSign,
  verify as nodeVerify,
  randomBytes,
} from 'node:crypto'
import { Point } from '@noble/ed25519'
import { type Brand, toHex } from './bytes.ts'
import {
  HiddenKey,
  KeyError,
  privateKeyObject,
  publicKeyObject,
  rawPrivate,
  rawPublic,
} from './keys.ts'

export type SigningPublicKey<Role extends string> = Brand<Uint8Array, `ed25519-public-${Role}`>
export type SigningPrivateKey<Role extends string> = Brand<HiddenKey, `ed25519-private-${Role}`>

export interface SigningKeyPair<Role extends string> {
  readonly publicKey: SigningPublicKey<Role>
  readonly privateKey: SigningPrivateKey<Role>
}

/** Strictly checked public keys, by hex, and ready to verify with once one was: checking one costs as much as verifying,
 *  importing one too. Bounded; the oldest goes first. */
const strong = new Map<string, { imported: KeyObject | undefined }>()
const STRONG = 4096

/** 32 bytes in canonical encoding of a point that is not of small order. Throws KeyError. */
export function parseSigningPublicKey<Role extends string>(
  bytes: Uint8Array,
): SigningPublicKey<Role> {
  if (bytes.length !== 32)
    throw new KeyError(`Ed25519 public key has ${bytes.length} bytes, want 32`)
  if (strongKey(bytes) === undefined) {
    throw new KeyError('Ed25519 public key is not canonical or of small order')
  }
  return Uint8Array.from(bytes) as SigningPublicKey<Role>
}

/** Undefined for a key that must not be used: a cast past `parseSigningPublicKey` gains nothing. */
function strongKey(bytes: Uint8Array): { imported: KeyObject | undefined } | undefined {
  const name = toHex(bytes)
  const known = strong.get(name)
  if (known !== undefined) return known
  if (!isStrongPoint(bytes)) return undefined
  const oldest = strong.keys().next()
  if (strong.size >= STRONG && oldest.done !== true) strong.delete(oldest.value)
  const key = { imported: undefined }
  strong.set(name, key)
  return key
}

function isStrongPoint(bytes: Uint8Array): boolean {
  try {
    return !Point.fromBytes(bytes, false).isSmallOrder()
  } catch (error) {
    if (error instanceof Error) return false
    throw error
  }
}

export function generateSigningKeyPair<Role extends string>(): SigningKeyPair<Role> {
  return signingKeyPairFromSeed<Role>(randomBytes(32))
}

/** The pair of a 32-byte seed (RFC 8032 §5.1.5). Throws KeyError on another length. */
export function signingKeyPairFromSeed<Role extends string>(
  seed: Uint8Array,
): SigningKeyPair<Role> {
  const key = privateKeyObject('ed25519', seed)
  return {
    publicKey: rawPublic(createPublicKey(key)) as SigningPublicKey<Role>,
    privateKey: new HiddenKey(key) as SigningPrivateKey<Role>,
  }
}

/** The 32-byte seed, for a key file and nothing else. */
export function seedOf(pair: SigningKeyPair<string>): Uint8Array {
  return rawPrivate(pair.privateKey.reveal())
}

/** 64 bytes. */
export function sign(privateKey: SigningPrivateKey<string>, message: Uint8Array): Uint8Array {
  return Uint8Array.from(nodeSign(null, message, privateKey.reveal()))
}

/** False for a signature of another length, too; never throws. */
export function verify(
  publicKey: SigningPublicKey<string>,
  message: Uint8Array,
  signature: Uint8Array,
): boolean {
  if (signature.length !== 64) return false
  const key = strongKey(publicKey)
  if (key === undefined) return false
  key.imported ??= publicKeyObject('ed25519', publicKey)
  return nodeVerify(null, message, key.imported, signature)
}
