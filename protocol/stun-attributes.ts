/** What a STUN message says: each attribute's value, parsed and encoded side by side
 *  (RFC 8489 §14, RFC 8445 §16.1; SPEC §10). */
import { concat, EncodingError, fromUtf8, utf8 } from '../crypto/bytes.ts'
import { addressBytes, addressFromBytes, type Endpoint } from './address.ts'
import { MalformedError } from './errors.ts'
import {
  encodeCount,
  encodePadding,
  encodePort,
  encodePriority,
  parseCount,
  parsePort,
  sized,
  view,
} from './stun-values.ts'

export interface StunError {
  /** 300 to 699, the hundreds being the class. */
  readonly code: number
  readonly reason: string
}

export interface StunAttributes {
  readonly software?: string
  /** ICE's priority of the pair as the sender sees it: an unsigned 32-bit number. */
  readonly priority?: number
  readonly useCandidate?: true
  /** Bytes that the sender's WireGuard has received of the one it answers: whether a path that lets checks
   *  through lets WireGuard through, too. Ours; comprehension optional. */
  readonly receivedBytes?: number
  readonly username?: string
  /** Whence the request came, as its receiver saw it. */
  readonly mappedAddress?: Endpoint
  readonly error?: StunError
  /** The port of the asker's address to which the answer is to go (RFC 5780 §7.5). */
  readonly responsePort?: number
  /** Types that made the receiver refuse the request (error 420). */
  readonly unknownAttributes?: readonly number[]
  /** Bytes of zeros that make a request as long as a packet whose passage is tried: a multiple of 4. */
  readonly padding?: number
}

/** An attribute as it lies in a message: `value` without its padding. */
export interface RawAttribute {
  readonly type: number
  readonly value: Uint8Array
}

/** RFC 8489 §14.3: a user name has fewer bytes. */
const USERNAME_BYTES = 509
/** RFC 8489 §14.8 and §14.14: 127 characters in UTF-8. */
const TEXT_BYTES = 508
const FAMILY = { ipv4: 1, ipv6: 2 } as const

interface AttributeCodec {
  readonly type: number
  readonly name: string
  parse(value: Uint8Array, mask: Uint8Array): StunAttributes
  /** Undefined where the message has no such attribute. */
  encode(attributes: StunAttributes, mask: Uint8Array): Uint8Array | undefined
}

/** In the order in which they are sent. Of two that say the same the earlier one is believed. */
const CODECS: readonly AttributeCodec[] = [
  {
    type: 0x8022,
    name: 'SOFTWARE',
    parse: (value) => ({ software: parseText(value, TEXT_BYTES) }),
    encode: ({ software }) => encodeText(software, TEXT_BYTES),
  },
  {
    type: 0x0024,
    name: 'PRIORITY',
    parse: (value) => ({ priority: view(sized(value, 4)).getUint32(0) }),
    encode: ({ priority }) => encodePriority(priority),
  },
  {
    type: 0x0025,
    name: 'USE-CANDIDATE',
    parse: (value) => ({ useCandidate: sized(value, 0) && true }),
    encode: ({ useCandidate }) => (useCandidate === true ? new Uint8Array(0) : undefined),
  },
  {
    type: 0xc6e0,
    name: 'RECEIVED-BYTES',
    parse: (value) => ({ receivedBytes: parseCount(value) }),
    encode: ({ receivedBytes }) => encodeCount(receivedBytes),
  },
  {
    type: 0x0006,
    name: 'USERNAME',
    parse: (value) => ({ username: parseText(value, USERNAME_BYTES - 1) }),
    encode: ({ username }) => encodeText(username, USERNAME_BYTES - 1),
  },
  {
    type: 0x0020,
    name: 'XOR-MAPPED-ADDRESS',
    parse: (value, mask) => ({ mappedAddress: parseAddress(value, mask) }),
    encode: ({ mappedAddress }, mask) => encodeAddress(mappedAddress, mask),
  },
  {
    type: 0x0001,
    name: 'MAPPED-ADDRESS',
    parse: (value) => ({ mappedAddress: parseAddress(value, new Uint8Array(16)) }),
    encode: () => undefined,
  },
  {
    type: 0x0009,
    name: 'ERROR-CODE',
    parse: (value) => ({ error: parseError(value) }),
    encode: ({ error }) => encodeError(error),
  },
  {
    type: 0x000a,
    name: 'UNKNOWN-ATTRIBUTES',
    parse: (value) => ({ unknownAttributes: parseTypes(value) }),
    encode: ({ unknownAttributes }) => encodeTypes(unknownAttributes),
  },
  {
    type: 0x0027,
    name: 'RESPONSE-PORT',
    parse: (value) => ({ responsePort: parsePort(value) }),
    encode: ({ responsePort }) => encodePort(responsePort),
  },
  {
    // RFC 5780 §7.6. Its answers are padded too; ours never are.
    type: 0x0026,
    name: 'PADDING',
    parse: (value) => ({ padding: value.length }),
    encode: ({ padding }) => encodePadding(padding),
  },
]

/** Of an attribute that comes twice the first counts (RFC 8489 §14). `mask` is the 16 bytes that an
 *  XOR-MAPPED-ADDRESS is mixed with: magic cookie and transaction id. Throws MalformedError. */
export function parseAttributes(raw: readonly RawAttribute[], mask: Uint8Array): StunAttributes {
  let attributes: StunAttributes = {}
  for (const codec of CODECS) {
    const found = raw.find(({ type }) => type === codec.type)
    if (found !== undefined) attributes = { ...parseValue(codec, found, mask), ...attributes }
  }
  return attributes
}

function parseValue(codec: AttributeCodec, raw: RawAttribute, mask: Uint8Array): StunAttributes {
  try {
    return codec.parse(raw.value, mask)
  } catch (cause) {
    if (!(cause instanceof MalformedError || cause instanceof EncodingError)) throw cause
    throw new MalformedError(`STUN ${codec.name}: ${cause.message}`, { cause })
  }
}

/** Throws RangeError for what the format can't hold: a bug of the caller. */
export function encodeAttributes(attributes: StunAttributes, mask: Uint8Array): Uint8Array {
  return concat(
    ...CODECS.flatMap((codec) => {
      const value = codec.encode(attributes, mask)
      return value === undefined ? [] : [encodeAttribute({ type: codec.type, value })]
    }),
  )
}

/** Type, length, value, and zeros up to four bytes (RFC 8489 §14). */
export function encodeAttribute({ type, value }: RawAttribute): Uint8Array {
  const bytes = new Uint8Array(4 + paddedLength(value.length))
  view(bytes).setUint16(0, type)
  view(bytes).setUint16(2, value.length)
  bytes.set(value, 4)
  return bytes
}

export function paddedLength(length: number): number {
  return (length + 3) & ~3
}

/** Types that ask to be understood (below 0x8000) and are not, each once, in order. */
export function unknownRequiredTypes(raw: readonly RawAttribute[]): readonly number[] {
  const unknown = raw.filter(
    ({ type }) => type < 0x8000 && !CODECS.some((codec) => codec.type === type),
  )
  return [...new Set(unknown.map(({ type }) => type))]
}

function parseText(value: Uint8Array, most: number): string {
  if (value.length > most) throw new MalformedError(`text of ${value.length} bytes, limit ${most}`)
  return fromUtf8(value)
}

function encodeText(text: string | undefined, most: number): Uint8Array | undefined {
  if (text === undefined) return undefined
  const bytes = utf8(text)
  if (bytes.length > most) throw new RangeError(`text of ${bytes.length} bytes, limit ${most}`)
  return bytes
}

/** RFC 8489 §14.1 and, with a mask that is not zero, §14.2. */
function parseAddress(value: Uint8Array, mask: Uint8Array): Endpoint {
  const family = value[1]
  if (family !== FAMILY.ipv4 && family !== FAMILY.ipv6) {
    throw new MalformedError(`address family ${family ?? 'missing'}, want 1 or 2`)
  }
  sized(value, family === FAMILY.ipv4 ? 8 : 20)
  const port = view(value).getUint16(2) ^ view(mask).getUint16(0)
  if (port === 0) throw new MalformedError('port 0')
  return { address: addressFromBytes(mixed(value.subarray(4), mask)), port }
}

function encodeAddress(endpoint: Endpoint | undefined, mask: Uint8Array): Uint8Array | undefined {
  if (endpoint === undefined) return undefined
  const address = addressBytes(endpoint.address)
  const head = Uint8Array.of(0, address.length === 4 ? FAMILY.ipv4 : FAMILY.ipv6, 0, 0)
  view(head).setUint16(2, endpoint.port ^ view(mask).getUint16(0))
  return concat(head, mixed(address, mask))
}

function mixed(bytes: Uint8Array, mask: Uint8Array): Uint8Array {
  return bytes.map((byte, index) => byte ^ (mask[index] ?? 0))
}

/** RFC 8489 §14.8. The reserved bits are ignored. */
function parseError(value: Uint8Array): StunError {
  const [, , hundreds = 0, rest = 0] = value
  const code = (hundreds & 7) * 100 + rest
  if (value.length < 4 || code < 300 || code > 699 || rest > 99) {
    throw new MalformedError(`code ${code} in ${value.length} bytes, want 300 to 699`)
  }
  return { code, reason: parseText(value.subarray(4), TEXT_BYTES) }
}

function encodeError(error: StunError | undefined): Uint8Array | undefined {
  if (error === undefined) return undefined
  const { code } = error
  if (!(Number.isInteger(code) && code >= 300 && code <= 699)) {
    throw new RangeError(`error code ${code}, want 300 to 699`)
  }
  const reason = encodeText(error.reason, TEXT_BYTES) ?? new Uint8Array(0)
  return concat(Uint8Array.of(0, 0, Math.floor(code / 100), code % 100), reason)
}

/** RFC 8489 §14.9. */
function parseTypes(value: Uint8Array): readonly number[] {
  if (value.length % 2 !== 0) throw new MalformedError(`list of ${value.length} bytes, want even`)
  return Array.from({ length: value.length / 2 }, (_, index) => view(value).getUint16(index * 2))
}

function encodeTypes(types: readonly number[] | undefined): Uint8Array | undefined {
  if (types === undefined) return undefined
  const bytes = new Uint8Array(types.length * 2)
  for (const [index, type] of types.entries()) view(bytes).setUint16(index * 2, type)
  return bytes
}
