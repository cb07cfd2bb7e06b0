/** A secret sealed with a passphrase: scrypt (RFC 7914) makes the key, XChaCha20-Poly1305 seals. */
import { randomBytes } from 'node:crypto'
import { TAG_BYTES } from './aead.ts'
import { concat, equal, utf8 } from './bytes.ts'
import { SALT_BYTES, stretch } from './password.ts'
import { LONG_NONCE_BYTES, openWithLongNonce, sealWithLongNonce } from './xaead.ts'

/** Names the form, and with it the cost of scrypt. */
const MAGIC = utf8('nexodus sealed 1')
const HEAD_BYTES = MAGIC.length + SALT_BYTES + LONG_NONCE_BYTES

/** Bytes of a sealed secret of so many. */
export function sealedLength(secretBytes: number): number {
  return HEAD_BYTES + secretBytes + TAG_BYTES
}

/** @param associated what the secret is; opening wants the same */
export async function sealWithPassphrase(
  secret: Uint8Array,
  passphrase: string,
  associated: string,
): Promise<Uint8Array> {
  const salt = Uint8Array.from(randomBytes(SALT_BYTES))
  const nonce = Uint8Array.from(randomBytes(LONG_NONCE_BYTES))
  const key = await stretch(passphrase, salt)
  return concat(MAGIC, salt, nonce, sealWithLongNonce(key, nonce, secret, utf8(associated)))
}

/** Undefined where the passphrase is another one, or the bytes were changed. */
export async function openWithPassphrase(
  sealed: Uint8Array,
  passphrase: string,
  associated: string,
): Promise<Uint8Array | undefined> {
  const isOurs = equal(sealed.subarray(0, MAGIC.length), MAGIC)
  if (!isOurs || sealed.length < sealedLength(0)) return undefined
  const salt = sealed.subarray(MAGIC.length, MAGIC.length + SALT_BYTES)
  const nonce = sealed.subarray(MAGIC.length + SALT_BYTES, HEAD_BYTES)
  const key = await stretch(passphrase, salt)
  return openWithLongNonce(key, nonce, sealed.subarray(HEAD_BYTES), utf8(associated))
}
