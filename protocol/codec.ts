/** Deterministic CBOR (RFC 8949 §4.2.1), strict both ways: what decodes is what it encodes to. */
import { decode, encode, rfc8949EncodeOptions } from 'cborg'
import { equal } from '../crypto/bytes.ts'
import { MalformedError } from './errors.ts'
import { CBOR_DEPTH } from './limits.ts'

export type CborValue = number | string | boolean | null | Uint8Array | CborValue[] | CborMap
export type CborMap = Map<CborValue, CborValue>

const DECODE = {
  useMaps: true,
  strict: true,
  rejectDuplicateMapKeys: true,
  allowIndefinite: false,
  allowUndefined: false,
  allowInfinity: false,
  allowNaN: false,
  allowBigInt: false,
}

export function encodeCbor(value: CborValue): Uint8Array {
  return encode(value, rfc8949EncodeOptions)
}

/** Throws MalformedError unless `bytes` are one value in its only encoding: no floats, no tags,
 *  no text that is not UTF-8, no keys but numbers and text, at most CBOR_DEPTH deep. `what` names it in the error. */
export function decodeCbor(bytes: Uint8Array, what: string): CborValue {
  let value: unknown
  try {
    value = decode(bytes, DECODE)
  } catch (cause) {
    throw new MalformedError(`${what}: not CBOR`, { cause })
  }
  assertPlain(value, what)
  if (!equal(encodeCbor(value), bytes)) {
    throw new MalformedError(`${what}: not in deterministic encoding`)
  }
  return value
}

/** A map at the top, as every message of ours has. Throws MalformedError. */
export function decodeCborMap(bytes: Uint8Array, what: string): CborMap {
  const value = decodeCbor(bytes, what)
  if (!(value instanceof Map)) throw new MalformedError(`${what}: not a map`)
  return value
}

function assertPlain(value: unknown, what: string, depth = 0): asserts value is CborValue {
  if (depth > CBOR_DEPTH) throw new MalformedError(`${what}: nested over ${CBOR_DEPTH} deep`)
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return
  if (typeof value === 'number') {
    if (Number.isSafeInteger(value) && !Object.is(value, -0)) return
    throw new MalformedError(`${what}: a number that is not a whole one`)
  }
  if (value instanceof Uint8Array) return
  if (Array.isArray(value)) {
    for (const item of value) assertPlain(item, what, depth + 1)
    return
  }
  if (!(value instanceof Map)) throw new MalformedError(`${what}: a value of a foreign type`)
  for (const [key, item] of value) {
    if (typeof key !== 'number' && typeof key !== 'string')
      throw new MalformedError(`${what}: a key that is no number and no text`)
    assertPlain(key, what, depth + 1)
    assertPlain(item, what, depth + 1)
  }
}
