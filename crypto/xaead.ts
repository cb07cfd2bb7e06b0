/** XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha §2): nonces long enough to be drawn at random. */
import { xchacha20poly1305 } from '@noble/ciphers/chacha.js'

export const LONG_NONCE_BYTES = 24

/** Ciphertext and tag. @param key 32 bytes @param nonce 24 bytes */
export function sealWithLongNonce(
  key: Uint8Array,
  nonce: Uint8Array,
  plaintext: Uint8Array,
  associated: Uint8Array,
): Uint8Array {
  return xchacha20poly1305(key, nonce, associated).encrypt(plaintext)
}

/** Undefined where it was not sealed with this key, nonce and associated data. */
export function openWithLongNonce(
  key: Uint8Array,
  nonce: Uint8Array,
  sealed: Uint8Array,
  associated: Uint8Array,
): Uint8Array | undefined {
  try {
    return xchacha20poly1305(key, nonce, associated).decrypt(sealed)
  } catch (error) {
    // Its one sign of a wrong tag.
    if (error instanceof Error && /invalid tag/.test(error.message)) return undefined
    throw error
  }
}
