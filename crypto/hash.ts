/** Hashes and what is made of them. */
import { createHash, createHmac, hkdfSync } from 'node:crypto'
import { blake2s as nobleBlake2s } from '@noble/hashes/blake2.js'
import { concat, moved } from './bytes.ts'

/** Of the parts one after another. 32 bytes. */
export function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return Uint8Array.from(hash.digest())
}

/** RFC 2104, of the parts one after another. 32 bytes. */
export function hmacSha256(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(
    createHmac('sha256', key)
      .update(concat(...parts))
      .digest(),
  )
}

/** RFC 5869. `length` bytes, at most 8160. */
export function hkdfSha256(
  ikm: Uint8Array,
  salt: Uint8Array,
  info: Uint8Array,
  length: number,
): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', ikm, salt, info, length))
}

/** RFC 7693, keyed or not; Node has no keyed BLAKE2s. */
export function blake2s(
  data: Uint8Array,
  options: { key?: Uint8Array; length?: number } = {},
): Uint8Array {
  return nobleBlake2s(data, {
    dkLen: options.length ?? 32,
    ...(options.key === undefined ? {} : { key: options.key }),
  })
}

/** RFC 7693 without a key, of the parts one after another. 32 bytes. */
export function blake2sOf(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash('blake2s256')
  for (const part of parts) hash.update(part)
  return Uint8Array.from(hash.digest())
}

/** RFC 2104 with BLAKE2s, of the parts one after another. 32 bytes. */
export function hmacBlake2s(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  const hmac = createHmac('blake2s256', key)
  for (const part of parts) hmac.update(part)
  return moved(hmac.digest())
}
