/** Bytes and their text forms. Decoders are strict: one text for each value, everything else refused. */
import { timingSafeEqual } from 'node:crypto'

/** A type that only its parse function makes. */
export type Brand<T, B extends string> = T & { readonly __brand: B }

/** Text that is not the one encoding of any bytes. */
export class EncodingError extends Error {
  override readonly name = 'EncodingError'
  readonly code = 'ERR_ENCODING'
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0))
  let offset = 0
  for (const part of parts) {
    whole.set(part, offset)
    offset += part.length
  }
  return whole
}

/** In time that depends on the lengths alone. */
export function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}

/** Zeroes secrets that are needed no more: what JavaScript still holds elsewhere it can't reach. */
export function wipe(...secrets: readonly Uint8Array[]): void {
  for (const secret of secrets) secret.fill(0)
}

/** A plain copy, and `secret` is zeroed: for what Node hands out as a Buffer. */
export function moved(secret: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(secret)
  wipe(secret)
  return copy
}

export function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

/** Throws EncodingError on bytes that are not UTF-8. */
export function fromUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    throw new EncodingError('not UTF-8', { cause })
  }
}

/** Lower case. */
export function toHex(bytes: Uint8Array): string {
  return view(bytes).toString('hex')
}

/** Throws EncodingError on upper case, an odd length or another character. */
export function fromHex(text: string): Uint8Array {
  if (text.length % 2 !== 0 || !/^[0-9a-f]*$/.test(text)) throw new EncodingError('not hexadecimal')
  return plain(Buffer.from(text, 'hex'))
}

/** RFC 4648 §4, padded. */
export function toBase64(bytes: Uint8Array): string {
  return view(bytes).toString('base64')
}

/** Throws EncodingError unless `toBase64` of the result is `text`. */
export function fromBase64(text: string): Uint8Array {
  const bytes = plain(Buffer.from(text, 'base64'))
  if (toBase64(bytes) !== text) throw new EncodingError('not base64')
  return bytes
}

/** RFC 4648 §5, without padding. */
export function toBase64url(bytes: Uint8Array): string {
  return view(bytes).toString('base64url')
}

/** Throws EncodingError unless `toBase64url` of the result is `text`. */
export function fromBase64url(text: string): Uint8Array {
  const bytes = plain(Buffer.from(text, 'base64url'))
  if (toBase64url(bytes) !== text) throw new EncodingError('not base64url')
  return bytes
}

const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567'

/** RFC 4648 §6 in lower case, without padding. */
export function toBase32(bytes: Uint8Array): string {
  let text = ''
  let held = 0
  let bits = 0
  for (const byte of bytes) {
    held = (held << 8) | byte
    for (bits += 8; bits >= 5; bits -= 5) text += BASE32[(held >> (bits - 5)) & 31]
    held &= (1 << bits) - 1
  }
  return bits === 0 ? text : text + BASE32[(held << (5 - bits)) & 31]
}

/** Throws EncodingError unless `toBase32` of the result is `text`. */
export function fromBase32(text: string): Uint8Array {
  const bytes: number[] = []
  let held = 0
  let bits = 0
  for (const character of text) {
    const value = BASE32.indexOf(character)
    if (value < 0) throw new EncodingError('not base32')
    held = (held << 5) | value
    bits += 5
    if (bits >= 8) {
      bits -= 8
      bytes.push(held >> bits)
      held &= (1 << bits) - 1
    }
  }
  if (bits >= 5 || held !== 0) throw new EncodingError('not base32: bits left over')
  return Uint8Array.from(bytes)
}

function view(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** A Uint8Array of its own memory, not of Buffer's pool. */
function plain(buffer: Buffer): Uint8Array {
  return Uint8Array.from(buffer)
}
