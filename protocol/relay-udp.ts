/** Relay datagrams: relay frames over UDP between a client and its relay, each with a tag of the session's
 *  key (SPEC §12.4).
 *
 *    kind (1) | session (8) | counter (6) | relay address (9) | datagram | tag (16) */
import { concat, equal, fromHex, toHex } from '../crypto/bytes.ts'
import { hmacSha256 } from '../crypto/hash.ts'
import type { RelayFrame } from './relay.ts'
import { SESSION_BYTES } from './relay-control.ts'

/** First bytes. Neither STUN (0 and 1) nor WireGuard (1 to 4), and outside of what RFC 7983 gives away;
 *  one for each direction, so that nothing can be sent back to who made it. */
const KINDS = { 'to-relay': 0xd0, 'to-client': 0xd1 } as const
export type Direction = keyof typeof KINDS

const COUNTER_BYTES = 6
const ADDRESS_BYTES = 9
const TAG_BYTES = 16
const HEADER_BYTES = 1 + SESSION_BYTES + COUNTER_BYTES + ADDRESS_BYTES
/** Bytes more than the datagram carried. */
export const RELAY_UDP_OVERHEAD = HEADER_BYTES + TAG_BYTES
/** The largest datagram sent this way: a full packet of a tunnel with MTU 1420 and WireGuard's 32 bytes. A
 *  larger one goes by the stream: whether the way takes it has not been tried. */
export const UDP_DATAGRAM_BYTES = 1452

export interface SessionKey {
  /** 16 hex digits. */
  readonly session: string
  readonly key: Uint8Array
}

export interface OpenedRelayDatagram extends RelayFrame {
  readonly counter: number
}

/** Cheap: is it for a relay's UDP port, by its first byte and length? */
export function isRelayDatagram(bytes: Uint8Array, direction: Direction): boolean {
  return bytes[0] === KINDS[direction] && bytes.length >= RELAY_UDP_OVERHEAD
}

/** The session that it says it belongs to, as 16 hex digits. Of what `isRelayDatagram` said yes to. */
export function sessionOf(bytes: Uint8Array): string {
  return toHex(bytes.subarray(1, 1 + SESSION_BYTES))
}

/** `counter` must never be used twice in one direction of a session: an integer below 2^48. */
export function sealRelayDatagram(
  { session, key }: SessionKey,
  direction: Direction,
  counter: number,
  { peer, datagram }: RelayFrame,
): Uint8Array {
  const head = new Uint8Array(1 + SESSION_BYTES + COUNTER_BYTES)
  head[0] = KINDS[direction]
  head.set(fromHex(session), 1)
  const view = new DataView(head.buffer)
  view.setUint16(1 + SESSION_BYTES, Math.floor(counter / 2 ** 32))
  view.setUint32(3 + SESSION_BYTES, counter % 2 ** 32)
  const plain = concat(head, fromHex(peer), datagram)
  return concat(plain, tagOf(plain, key))
}

/** Undefined unless it is of that session and direction and whole. Whether it was had before is the replay
 *  window's question. */
export function openRelayDatagram(
  { session, key }: SessionKey,
  direction: Direction,
  bytes: Uint8Array,
): OpenedRelayDatagram | undefined {
  if (!isRelayDatagram(bytes, direction) || sessionOf(bytes) !== session) return undefined
  const plain = bytes.subarray(0, -TAG_BYTES)
  if (!equal(bytes.subarray(-TAG_BYTES), tagOf(plain, key))) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const counter = view.getUint16(1 + SESSION_BYTES) * 2 ** 32 + view.getUint32(3 + SESSION_BYTES)
  const peer = toHex(bytes.subarray(HEADER_BYTES - ADDRESS_BYTES, HEADER_BYTES))
  return { counter, peer, datagram: plain.subarray(HEADER_BYTES) }
}

function tagOf(plain: Uint8Array, key: Uint8Array): Uint8Array {
  return hmacSha256(key, plain).subarray(0, TAG_BYTES)
}
