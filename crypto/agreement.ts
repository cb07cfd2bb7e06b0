/** X25519 (RFC 7748): WireGuard's keys. */
import { createPublicKey, diffieHellman, randomBytes } from 'node:crypto'
import type { Brand } from './bytes.ts'
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

/** 32 bytes, not all zero. Throws KeyError. Keys of small order show in `sharedSecret`. */
export function parseAgreementPublicKey(bytes: Uint8Array): AgreementPublicKey {
  if (bytes.length !== 32)
    throw new KeyError(`X25519 public key has ${bytes.length} bytes, want 32`)
  if (bytes.every((byte) => byte === 0)) throw new KeyError('X25519 public key is all zero')
  return Uint8Array.from(bytes) as AgreementPublicKey
}

export function generateAgreementKeyPair(): AgreementKeyPair {
  return agreementKeyPairFromPrivate(randomBytes(32))
}

/** Throws KeyError unless `bytes` are 32. */
export function agreementKeyPairFromPrivate(bytes: Uint8Array): AgreementKeyPair {
  const key = privateKeyObject('x25519', clamped(bytes))
  return {
    publicKey: rawPublic(createPublicKey(key)) as AgreementPublicKey,
    privateKey: new HiddenKey(key) as AgreementPrivateKey,
  }
}

/** RFC 7748 §5, as `wg genkey` does it, so that other tools show the same private key. */
function clamped(bytes: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(bytes)
  copy[0] = (copy[0] ?? 0) & 248
  copy[31] = ((copy[31] ?? 0) & 127) | 64
  return bytes.length === 32 ? copy : bytes
}

/** The 32 private bytes: for a key file and for WireGuard. */
export function privateBytesOf(pair: AgreementKeyPair): Uint8Array {
  return rawPrivate(pair.privateKey.reveal())
}

/** 32 bytes. Throws KeyError where the peer's key is of small order (RFC 7748 §6.1: all-zero result). */
export function sharedSecret(
  privateKey: AgreementPrivateKey,
  publicKey: AgreementPublicKey,
): Uint8Array {
  try {
    const secret = diffieHellman({
      privateKey: privateKey.reveal(),
      publicKey: publicKeyObject('x25519', publicKey),
    })
    if (secret.some((byte) => byte !== 0)) return Uint8Array.from(secret)
  } catch (cause) {
    throw new KeyError('X25519 public key is of small order', { cause })
  }
  throw new KeyError('X25519 public key is of small order')
}
