/** ChaCha20-Poly1305 (RFC 8439), as WireGuard uses it. */
import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from 'node:crypto'
import type { Brand } from './bytes.ts'
import { HiddenKey, KeyError } from './keys.ts'

/** A secret ready for use. Node 24 takes four times as long with raw bytes as with a KeyObject. */
export type SealingKey = Brand<HiddenKey, 'chacha20-poly1305'>

export const SEALING_KEY_BYTES = 32
export const NONCE_BYTES = 12
/** Bytes by which sealing lengthens. */
export const TAG_BYTES = 16

const ALGORITHM = 'chacha20-poly1305'
const OPTIONS = { authTagLength: TAG_BYTES }
const NOTHING = new Uint8Array(0)

/** Throws KeyError unless `bytes` are 32. */
export function sealingKey(bytes: Uint8Array): SealingKey {
  if (bytes.length !== SEALING_KEY_BYTES) {
    throw new KeyError(`sealing key has ${bytes.length} bytes, want ${SEALING_KEY_BYTES}`)
  }
  return new HiddenKey(createSecretKey(bytes)) as SealingKey
}

/** Ciphertext and tag. One nonce, of 12 bytes, must never be used twice with one key. */
export function seal(
  key: SealingKey,
  nonce: Uint8Array,
  plaintext: Uint8Array,
  associated: Uint8Array = NOTHING,
): Uint8Array {
  const cipher = createCipheriv(ALGORITHM, revealed(key, nonce), nonce, OPTIONS)
  cipher.setAAD(associated, { plaintextLength: plaintext.length })
  const sealed = new Uint8Array(plaintext.length + TAG_BYTES)
  sealed.set(cipher.update(plaintext))
  cipher.final()
  sealed.set(cipher.getAuthTag(), plaintext.length)
  return sealed
}

/** Undefined where it was not sealed with this key, nonce and associated data. */
export function open(
  key: SealingKey,
  nonce: Uint8Array,
  sealed: Uint8Array,
  associated: Uint8Array = NOTHING,
): Uint8Array | undefined {
  const length = sealed.length - TAG_BYTES
  const secret = revealed(key, nonce)
  if (length < 0) return undefined
  const decipher = createDecipheriv(ALGORITHM, secret, nonce, OPTIONS)
  decipher.setAAD(associated, { plaintextLength: length })
  decipher.setAuthTag(sealed.subarray(length))
  const plaintext = decipher.update(sealed.subarray(0, length))
  return isAuthentic(decipher) ? Uint8Array.from(plaintext) : undefined
}

/** As `seal` without associated data, but ciphertext and tag apart, neither of them copied. */
export function sealParts(
  key: SealingKey,
  nonce: Uint8Array,
  plaintext: Uint8Array,
): readonly [Uint8Array, Uint8Array] {
  const cipher = createCipheriv(ALGORITHM, revealed(key, nonce), nonce, OPTIONS)
  const ciphertext = cipher.update(plaintext)
  cipher.final()
  return [ciphertext, cipher.getAuthTag()]
}

/** As `open` without associated data, of ciphertext and tag apart; what it returns is not copied. */
export function openParts(
  key: SealingKey,
  nonce: Uint8Array,
  ciphertext: Uint8Array,
  tag: Uint8Array,
): Uint8Array | undefined {
  const decipher = createDecipheriv(ALGORITHM, revealed(key, nonce), nonce, OPTIONS)
  decipher.setAuthTag(tag)
  const plaintext = decipher.update(ciphertext)
  return isAuthentic(decipher) ? plaintext : undefined
}

function revealed(key: SealingKey, nonce: Uint8Array): KeyObject {
  if (nonce.length === NONCE_BYTES) return key.reveal()
  throw new RangeError(`nonce has ${nonce.length} bytes, want ${NONCE_BYTES}`)
}

/** Node's one sign of a wrong tag is that `final` throws. */
function isAuthentic(decipher: { final(): Buffer }): boolean {
  try {
    decipher.final()
    return true
  } catch (error) {
    if (error instanceof Error) return false
    throw error
  }
}
