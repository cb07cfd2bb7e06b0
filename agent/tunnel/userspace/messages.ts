/** WireGuard's four messages (whitepaper §5.4): where their fields are. Integers are little-endian. */

export type MessageKind = 'initiation' | 'response' | 'cookie-reply' | 'transport'

const TYPES: readonly (MessageKind | undefined)[] = [
  undefined,
  'initiation',
  'response',
  'cookie-reply',
  'transport',
]
/** Exact; of transport messages the least. */
export const MESSAGE_BYTES = {
  initiation: 148,
  response: 92,
  'cookie-reply': 64,
  transport: 32,
} as const satisfies Record<MessageKind, number>

export const INDEX_BYTES = 4
export const MAC_BYTES = 16
/** MAC1 and MAC2 are the end of both handshake messages. */
export const MACS_BYTES = 2 * MAC_BYTES

/** Offset and end of each field. */
export const INITIATION = {
  sender: [4, 8],
  ephemeral: [8, 40],
  static: [40, 88],
  timestamp: [88, 116],
} as const
export const RESPONSE = {
  sender: [4, 8],
  receiver: [8, 12],
  ephemeral: [12, 44],
  empty: [44, 60],
} as const
export const COOKIE_REPLY = { receiver: [4, 8], nonce: [8, 32], cookie: [32, 64] } as const
export const TRANSPORT_HEADER_BYTES = 16

/** Has it the first four bytes of WireGuard's? Of STUN no message has. */
export function isWireGuard(datagram: Uint8Array): boolean {
  const [type = 0, a, b, c] = datagram
  return type >= 1 && type <= 4 && a === 0 && b === 0 && c === 0
}

/** Undefined unless type and length are right. */
export function messageKind(datagram: Uint8Array): MessageKind | undefined {
  const kind = isWireGuard(datagram) ? TYPES[datagram[0] ?? 0] : undefined
  if (kind === undefined) return undefined
  const bytes = MESSAGE_BYTES[kind]
  return (kind === 'transport' ? datagram.length >= bytes : datagram.length === bytes)
    ? kind
    : undefined
}

/** A message of zeroes but for its type. */
export function newMessage(kind: MessageKind, bytes: number = MESSAGE_BYTES[kind]): Uint8Array {
  const message = new Uint8Array(bytes)
  message[0] = TYPES.indexOf(kind)
  return message
}

export function field(message: Uint8Array, [begin, end]: readonly [number, number]): Uint8Array {
  return message.subarray(begin, end)
}

export function readUint32(bytes: Uint8Array, offset: number): number {
  const high = ((bytes[offset + 3] ?? 0) << 8) | (bytes[offset + 2] ?? 0)
  return ((high << 16) | ((bytes[offset + 1] ?? 0) << 8) | (bytes[offset] ?? 0)) >>> 0
}

export function writeUint32(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value
  bytes[offset + 1] = value >>> 8
  bytes[offset + 2] = value >>> 16
  bytes[offset + 3] = value >>> 24
}

const WORD = 2 ** 32

/** From 2^53 on not exact, but no less. */
export function readUint64(bytes: Uint8Array, offset: number): number {
  return readUint32(bytes, offset + INDEX_BYTES) * WORD + readUint32(bytes, offset)
}

/** @param value an integer below 2^53 */
export function writeUint64(bytes: Uint8Array, offset: number, value: number): void {
  writeUint32(bytes, offset, value % WORD)
  writeUint32(bytes, offset + INDEX_BYTES, Math.floor(value / WORD))
}
