/** What the key types share: the error, the way keys hide from logs, Node's wrapping of raw keys. */
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import { inspect } from 'node:util'
import { concat, fromHex, wipe } from './bytes.ts'

/** Bytes that are no key, or no key one may use. */
export class KeyError extends Error {
  override readonly name = 'KeyError'
  readonly code = 'ERR_KEY'
}

export type KeyAlgorithm = 'ed25519' | 'x25519'

/** DER heads (RFC 8410): what precedes the 32 raw bytes. */
const PKCS8 = {
  ed25519: fromHex('302e020100300506032b657004220420'),
  x25519: fromHex('302e020100300506032b656e04220420'),
} as const
const SPKI = {
  ed25519: fromHex('302a300506032b6570032100'),
  x25519: fromHex('302a300506032b656e032100'),
} as const

export function privateKeyObject(algorithm: KeyAlgorithm, raw: Uint8Array): KeyObject {
  if (raw.length !== 32) throw new KeyError(`private key has ${raw.length} bytes, want 32`)
  const key = Buffer.from(concat(PKCS8[algorithm], raw).buffer)
  const made = createPrivateKey({ key, format: 'der', type: 'pkcs8' })
  wipe(key)
  return made
}

export function publicKeyObject(algorithm: KeyAlgorithm, raw: Uint8Array): KeyObject {
  const key = Buffer.from(concat(SPKI[algorithm], raw))
  return createPublicKey({ key, format: 'der', type: 'spki' })
}

export function rawPrivate(key: KeyObject): Uint8Array {
  return Uint8Array.from(key.export({ format: 'der', type: 'pkcs8' }).subarray(-32))
}

export function rawPublic(key: KeyObject): Uint8Array {
  return Uint8Array.from(key.export({ format: 'der', type: 'spki' }).subarray(-32))
}

/** A private key that no log, no JSON and no error message can print. */
export class HiddenKey {
  readonly #key: KeyObject

  constructor(key: KeyObject) {
    this.#key = key
  }

  /** For crypto/ alone. */
  reveal(): KeyObject {
    return this.#key
  }

  toJSON(): string {
    return '[private key]'
  }

  toString(): string {
    return '[private key]'
  }

  [inspect.custom](): string {
    return '[private key]'
  }
}
