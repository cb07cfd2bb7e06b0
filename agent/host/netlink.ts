/** Netlink: messages and attributes as the kernel reads and writes them (RFC 3549 §2.2, netlink(7)). Pure.
 *  Little-endian, as is every host that this program has a build of koffi for. */
import { concat } from '../../crypto/bytes.ts'
import { MalformedError } from '../../protocol/errors.ts'

/** The kernel refused, or the socket failed. */
export class NetlinkError extends Error {
  override readonly name = 'NetlinkError'
  /** As errno(3) names it. */
  readonly code: string

  /** @param why the kernel's own words; '' where it had none */
  constructor(what: string, code: string, why = '') {
    super(`${what}: the kernel answered ${code}${why === '' ? '' : ` (${why})`}`)
    this.code = code
  }
}

export interface NetlinkMessage {
  readonly type: number
  /** NLM_F_… */
  readonly flags: number
  /** What follows the header. */
  readonly body: Uint8Array
}

export interface Attribute {
  readonly type: number
  readonly value: Uint8Array
}

const HEADER_BYTES = 16
const ATTRIBUTE_HEADER_BYTES = 4
/** An attribute's length has 16 bits. */
const MOST_ATTRIBUTE_BYTES = 0xffff
/** NLA_F_NESTED and NLA_F_NET_BYTEORDER. */
const [NESTED, TYPE_MASK] = [0x8000, 0x3fff]

export function encodeMessage({ type, flags, body }: NetlinkMessage, sequence: number): Uint8Array {
  const header = Buffer.alloc(HEADER_BYTES)
  header.writeUInt32LE(HEADER_BYTES + body.length, 0)
  header.writeUInt16LE(type, 4)
  header.writeUInt16LE(flags, 6)
  header.writeUInt32LE(sequence, 8)
  return concat(header, body)
}

export interface NetlinkAnswer extends NetlinkMessage {
  /** The number of the question that it answers. */
  readonly sequence: number
}

/** What one read of the socket gave. Throws MalformedError where it was cut. */
export function parseMessages(bytes: Uint8Array): readonly NetlinkAnswer[] {
  return pieces(bytes, 'netlink message', HEADER_BYTES, (at) => at.getUint32(0, true)).map(
    (piece) => ({
      type: viewOf(piece).getUint16(4, true),
      flags: viewOf(piece).getUint16(6, true),
      sequence: viewOf(piece).getUint32(8, true),
      body: piece.subarray(HEADER_BYTES),
    }),
  )
}

/** With the padding that the next one needs. Throws MalformedError where it is too long. */
export function encodeAttribute(type: number, value: Uint8Array): Uint8Array {
  const length = ATTRIBUTE_HEADER_BYTES + value.length
  if (length > MOST_ATTRIBUTE_BYTES) {
    throw new MalformedError(
      `netlink attribute ${type}: ${length} bytes, at most ${MOST_ATTRIBUTE_BYTES}`,
    )
  }
  const bytes = Buffer.alloc(padded(length))
  bytes.writeUInt16LE(length, 0)
  bytes.writeUInt16LE(type, 2)
  bytes.set(value, ATTRIBUTE_HEADER_BYTES)
  return bytes
}

export function encodeNested(type: number, attributes: readonly Uint8Array[]): Uint8Array {
  return encodeAttribute(type | NESTED, concat(...attributes))
}

/** Throws MalformedError where one was cut. */
export function parseAttributes(bytes: Uint8Array): readonly Attribute[] {
  return pieces(bytes, 'netlink attribute', ATTRIBUTE_HEADER_BYTES, (at) =>
    at.getUint16(0, true),
  ).map((piece) => ({
    type: viewOf(piece).getUint16(2, true) & TYPE_MASK,
    value: piece.subarray(ATTRIBUTE_HEADER_BYTES),
  }))
}

/** Messages and attributes alike: each tells its length, and the next begins at a multiple of 4. */
function pieces(
  bytes: Uint8Array,
  what: string,
  headerBytes: number,
  lengthAt: (view: DataView) => number,
): readonly Uint8Array[] {
  const found: Uint8Array[] = []
  for (let rest = bytes; rest.length > 0; ) {
    const length = rest.length < headerBytes ? 0 : lengthAt(viewOf(rest))
    if (length < headerBytes || length > rest.length) {
      throw new MalformedError(`${what}: ${length} bytes said, ${rest.length} there`)
    }
    found.push(rest.subarray(0, length))
    rest = rest.subarray(Math.min(padded(length), rest.length))
  }
  return found
}

function padded(length: number): number {
  return (length + 3) & ~3
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
}

/** Text that ends with a zero, as the kernel writes it. */
export function textOf(value: Uint8Array): string {
  return Buffer.from(value).toString('utf8').replace(/\0.*$/s, '')
}
