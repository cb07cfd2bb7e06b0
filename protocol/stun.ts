/** STUN messages (RFC 8489), of the binding method alone: connectivity checks and mapped addresses
 *  (SPEC §10). Drawn in RFC 8489 §5: type, length, magic cookie, transaction id, attributes. */
import { concat, equal, fromHex } from '../crypto/bytes.ts'
import { hmacSha256 } from '../crypto/hash.ts'
import { crc32 } from './crc32.ts'
import { MalformedError } from './errors.ts'
import { DATAGRAM_BYTES } from './relay.ts'
import {
  encodeAttribute,
  encodeAttributes,
  paddedLength,
  parseAttributes,
  type RawAttribute,
  type StunAttributes,
  unknownRequiredTypes,
} from './stun-attributes.ts'

export type StunKind = 'request' | 'indication' | 'success' | 'error'

export interface StunMessage extends StunAttributes {
  readonly kind: StunKind
  /** 12 bytes, random for each request; an answer repeats its request's. */
  readonly transactionId: Uint8Array
}

export interface ReceivedStun extends StunMessage {
  /** Attributes that ask to be understood and are not: a request that has some is answered by error
   *  420, an answer that has some is dropped (RFC 8489 §6.3). MESSAGE-INTEGRITY (SHA-1) is one. */
  readonly unknownRequired: readonly number[]
  /** There is a MESSAGE-INTEGRITY-SHA256; whether it holds says `verifyIntegrity`. */
  readonly hasIntegrity: boolean
  /** There is a FINGERPRINT, and it holds. */
  readonly hasFingerprint: boolean
}

export const TRANSACTION_ID_BYTES = 12
/** Bytes of a message: IPv6's least MTU less IPv6 and UDP headers (RFC 8489 §6.1). */
export const STUN_BYTES = 1232
/** Bytes of a request with PADDING: the largest datagram of WireGuard's that a tunnel of ours sends. */
export const PADDED_STUN_BYTES = DATAGRAM_BYTES

const HEADER_BYTES = 20
const MAGIC_COOKIE = fromHex('2112a442')
/** Method binding and the class (RFC 8489 §5, figure 3). */
const TYPES: Readonly<Record<StunKind, number>> = {
  request: 0x0001,
  indication: 0x0011,
  success: 0x0101,
  error: 0x0111,
}
const KINDS = new Map(Object.entries(TYPES).map(([kind, type]) => [type, kind as StunKind]))

const INTEGRITY_SHA256 = 0x001c
/** Whole, never truncated as RFC 8489 §14.6 allows. */
const INTEGRITY_BYTES = 32
const FINGERPRINT = 0x8028
const FINGERPRINT_MASK = 0x5354554e

/** Cheap, for telling STUN from WireGuard on one port: true for no WireGuard message, whose first two
 *  bytes are 01 to 04 and 00. What it is true for may still be malformed. */
export function isStun(bytes: Uint8Array): boolean {
  if (bytes.length < HEADER_BYTES || !KINDS.has(view(bytes).getUint16(0))) return false
  return MAGIC_COOKIE.every((byte, index) => bytes[4 + index] === byte)
}

/** Checks shape, order of attributes and FINGERPRINT. Says nothing about who sent it; see
 *  `verifyIntegrity`. Throws MalformedError. */
export function parseStun(bytes: Uint8Array): ReceivedStun {
  const kind = parseHeader(bytes)
  const { said, integrity, fingerprint } = layOut(placedAttributes(bytes))
  if (fingerprint !== undefined) assertFingerprint(bytes, fingerprint)
  const transactionId = bytes.slice(8, HEADER_BYTES)
  const attributes = parseAttributes(said, maskOf(transactionId))
  assertLength(bytes.length, attributes.padding)
  return {
    kind,
    transactionId,
    ...attributes,
    unknownRequired: unknownRequiredTypes(said),
    hasIntegrity: integrity !== undefined,
    hasFingerprint: fingerprint !== undefined,
  }
}

/** Always with a FINGERPRINT; with MESSAGE-INTEGRITY-SHA256 where there is a key. Throws RangeError for
 *  what the format can't hold: a bug of the caller. */
export function encodeStun(message: StunMessage, integrityKey?: Uint8Array): Uint8Array {
  const { kind, transactionId } = message
  if (transactionId.length !== TRANSACTION_ID_BYTES) {
    throw new RangeError(`transaction id of ${transactionId.length} bytes, want 12`)
  }
  const head = new Uint8Array(4)
  view(head).setUint16(0, TYPES[kind])
  const attributes = encodeAttributes(message, maskOf(transactionId))
  const plain = concat(head, MAGIC_COOKIE, transactionId, attributes)
  const whole = withFingerprint(
    integrityKey === undefined ? plain : withIntegrity(plain, integrityKey),
  )
  const most = mostBytes(kind, message.padding)
  if (whole.length <= most) return whole
  throw new RangeError(`STUN message of ${whole.length} bytes, limit ${most}`)
}

/** Only a request may be padded: an answer that were could be made to flood somebody. */
function mostBytes(kind: StunKind, padding: number | undefined): number {
  return kind === 'request' && padding !== undefined ? PADDED_STUN_BYTES : STUN_BYTES
}

function assertLength(length: number, padding = 0): void {
  if (length - padding <= STUN_BYTES) return
  throw new MalformedError(
    `STUN message: ${length - padding} bytes besides PADDING, limit ${STUN_BYTES}`,
  )
}

/** True where the message carries the MESSAGE-INTEGRITY-SHA256 of this key (RFC 8489 §14.6). Throws
 *  MalformedError where `parseStun` would for its layout. */
export function verifyIntegrity(bytes: Uint8Array, key: Uint8Array): boolean {
  parseHeader(bytes)
  const { integrity } = layOut(placedAttributes(bytes))
  if (integrity === undefined) return false
  return equal(integrity.value, integrityOf(bytes.subarray(0, integrity.offset), key))
}

function parseHeader(bytes: Uint8Array): StunKind {
  const type = bytes.length < 2 ? undefined : view(bytes).getUint16(0)
  const most = type === TYPES.request ? PADDED_STUN_BYTES : STUN_BYTES
  if (type === undefined || bytes.length < HEADER_BYTES || bytes.length > most) {
    throw new MalformedError(`STUN message: ${bytes.length} bytes, want ${HEADER_BYTES} to ${most}`)
  }
  const kind = KINDS.get(type)
  if (kind === undefined) throw new MalformedError(`STUN message: type ${type} is not a binding`)
  if (!isStun(bytes)) throw new MalformedError('STUN message: no magic cookie')
  const length = view(bytes).getUint16(2)
  if (length === bytes.length - HEADER_BYTES && length % 4 === 0) return kind
  throw new MalformedError(`STUN message: length ${length} in ${bytes.length} bytes`)
}

interface PlacedAttribute extends RawAttribute {
  /** Bytes before it. */
  readonly offset: number
}

/** Throws MalformedError. Padding may hold anything (RFC 8489 §14). */
function placedAttributes(bytes: Uint8Array): readonly PlacedAttribute[] {
  const placed: PlacedAttribute[] = []
  let offset = HEADER_BYTES
  while (offset < bytes.length) {
    const length = view(bytes).getUint16(offset + 2)
    const start = offset + 4
    if (start + paddedLength(length) > bytes.length) {
      throw new MalformedError(`STUN attribute: ${length} bytes at ${offset} of ${bytes.length}`)
    }
    const type = view(bytes).getUint16(offset)
    placed.push({ type, value: bytes.subarray(start, start + length), offset })
    offset = start + paddedLength(length)
  }
  return placed
}

interface Layout {
  readonly said: readonly PlacedAttribute[]
  readonly integrity?: PlacedAttribute
  readonly fingerprint?: PlacedAttribute
}

/** FINGERPRINT comes last, MESSAGE-INTEGRITY-SHA256 before it. What follows the latter is refused, not
 *  ignored as in RFC 8489 §14.6: so no bit of a protected message can change unseen. */
function layOut(placed: readonly PlacedAttribute[]): Layout {
  const fingerprint = ending(placed, FINGERPRINT, 4)
  const covered = fingerprint === undefined ? placed : placed.slice(0, -1)
  const integrity = ending(covered, INTEGRITY_SHA256, INTEGRITY_BYTES)
  const said = integrity === undefined ? covered : covered.slice(0, -1)
  if (said.some(({ type }) => type === FINGERPRINT || type === INTEGRITY_SHA256)) {
    throw new MalformedError(
      'STUN message: attributes after FINGERPRINT or MESSAGE-INTEGRITY-SHA256',
    )
  }
  return { said, ...(integrity && { integrity }), ...(fingerprint && { fingerprint }) }
}

function ending(
  placed: readonly PlacedAttribute[],
  type: number,
  length: number,
): PlacedAttribute | undefined {
  const last = placed.at(-1)
  if (last?.type !== type) return undefined
  if (last.value.length === length) return last
  throw new MalformedError(`STUN attribute ${type}: ${last.value.length} bytes, want ${length}`)
}

function withIntegrity(plain: Uint8Array, key: Uint8Array): Uint8Array {
  const value = integrityOf(plain, key)
  return withAttribute(plain, { type: INTEGRITY_SHA256, value })
}

/** Of what precedes the attribute, with a length that counts the attribute (RFC 8489 §14.5). */
function integrityOf(preceding: Uint8Array, key: Uint8Array): Uint8Array {
  return hmacSha256(key, withLength(preceding, 4 + INTEGRITY_BYTES))
}

function withFingerprint(preceding: Uint8Array): Uint8Array {
  return withAttribute(preceding, { type: FINGERPRINT, value: fingerprintOf(preceding) })
}

function assertFingerprint(bytes: Uint8Array, { value, offset }: PlacedAttribute): void {
  if (equal(value, fingerprintOf(bytes.subarray(0, offset)))) return
  throw new MalformedError('STUN FINGERPRINT: not that of the message')
}

/** RFC 8489 §14.7. */
function fingerprintOf(preceding: Uint8Array): Uint8Array {
  const value = new Uint8Array(4)
  view(value).setUint32(0, crc32(withLength(preceding, 8)) ^ FINGERPRINT_MASK)
  return value
}

function withAttribute(preceding: Uint8Array, attribute: RawAttribute): Uint8Array {
  return withLength(concat(preceding, encodeAttribute(attribute)), 0)
}

/** A copy whose length field also counts `further` bytes. */
function withLength(bytes: Uint8Array, further: number): Uint8Array {
  const copy = Uint8Array.from(bytes)
  view(copy).setUint16(2, bytes.length - HEADER_BYTES + further)
  return copy
}

/** What an address is mixed with (RFC 8489 §14.2). */
function maskOf(transactionId: Uint8Array): Uint8Array {
  return concat(MAGIC_COOKIE, transactionId)
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
