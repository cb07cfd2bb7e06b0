/** Values of STUN attributes that are numbers, in network order (RFC 8489 §14). */
import { MalformedError } from './errors.ts'
import { DATAGRAM_BYTES } from './relay.ts'

/** No packet of a tunnel is longer (SPEC §7.4). */
const PADDING_BYTES = DATAGRAM_BYTES

/** RFC 5780 §7.5 has two bytes of padding follow; there are senders that count them in, and such that do not. */
export function parsePort(value: Uint8Array): number {
  if (value.length !== 2 && value.length !== 4) {
    throw new MalformedError(`${value.length} bytes, want 2 or 4`)
  }
  const port = view(value).getUint16(0)
  if (port === 0) throw new MalformedError('port 0')
  return port
}

export function encodePort(port: number | undefined): Uint8Array | undefined {
  if (port === undefined) return undefined
  if (!(Number.isInteger(port) && port >= 1 && port <= 65535)) {
    throw new RangeError(`response port ${port}, want 1 to 65535`)
  }
  const bytes = new Uint8Array(2)
  view(bytes).setUint16(0, port)
  return bytes
}

export function encodePadding(padding: number | undefined): Uint8Array | undefined {
  if (padding === undefined) return undefined
  if (padding >= 0 && padding <= PADDING_BYTES && padding % 4 === 0) return new Uint8Array(padding)
  throw new RangeError(`padding of ${padding} bytes, want a multiple of 4 up to ${PADDING_BYTES}`)
}

export function encodePriority(priority: number | undefined): Uint8Array | undefined {
  if (priority === undefined) return undefined
  if (!(Number.isInteger(priority) && priority >= 0 && priority <= 0xffffffff)) {
    throw new RangeError(`priority ${priority}, want an unsigned 32-bit number`)
  }
  const bytes = new Uint8Array(4)
  view(bytes).setUint32(0, priority)
  return bytes
}

/** A 64-bit number that fits one of ours. */
export function parseCount(value: Uint8Array): number {
  const count = Number(view(sized(value, 8)).getBigUint64(0))
  if (!Number.isSafeInteger(count)) throw new MalformedError(`count ${count}, limit 2^53 - 1`)
  return count
}

export function encodeCount(count: number | undefined): Uint8Array | undefined {
  if (count === undefined) return undefined
  if (!Number.isSafeInteger(count) || count < 0) {
    throw new RangeError(`count ${count}, want 0 to 2^53 - 1`)
  }
  const bytes = new Uint8Array(8)
  view(bytes).setBigUint64(0, BigInt(count))
  return bytes
}

export function sized(value: Uint8Array, length: number): Uint8Array {
  if (value.length === length) return value
  throw new MalformedError(`${value.length} bytes, want ${length}`)
}

export function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
