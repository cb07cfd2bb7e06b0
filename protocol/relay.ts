/** Relay frames: WireGuard datagrams between two devices through a third party that can't read them
 *  (SPEC §7.4). On a stream a frame is preceded by its length, two bytes, network order. */
import { concat, fromHex, toHex } from '../crypto/bytes.ts'
import { sha256 } from '../crypto/hash.ts'
import { MalformedError } from './errors.ts'
import { type DeviceId, deviceKeyOf } from './keys.ts'

export const RELAY_PROTOCOL = '/nexodus/relay/1'
/** Bytes naming a device in a frame: the head of the hash of its key. */
export const RELAY_ADDRESS_BYTES = 9
/** Bytes of a datagram: Ethernet's 1500, and room for larger WireGuard packets on fast links. */
export const DATAGRAM_BYTES = 9216

export interface RelayFrame {
  /** 18 hex digits: to the relay, where the datagram goes; from the relay, whence it came. */
  readonly peer: RelayAddress
  readonly datagram: Uint8Array
}
export type RelayAddress = string

/** A device's name in relay frames and in STUN usernames. */
export function relayAddressOf(device: DeviceId): RelayAddress {
  return toHex(sha256(deviceKeyOf(device)).subarray(0, RELAY_ADDRESS_BYTES))
}

/** With its length in front, ready for a stream. */
export function encodeRelayFrame({ peer, datagram }: RelayFrame): Uint8Array {
  const length = RELAY_ADDRESS_BYTES + datagram.length
  return concat(Uint8Array.of(length >> 8, length & 0xff), fromHex(peer), datagram)
}

/** Cuts a stream's bytes into frames: give it what arrived, get whole frames and what is left over.
 *  Throws MalformedError on a length out of bounds. */
export function parseRelayFrames(buffered: Uint8Array): {
  frames: readonly RelayFrame[]
  rest: Uint8Array
} {
  const frames: RelayFrame[] = []
  let offset = 0
  while (buffered.length - offset >= 2) {
    const length = ((buffered[offset] ?? 0) << 8) | (buffered[offset + 1] ?? 0)
    if (length < RELAY_ADDRESS_BYTES || length > RELAY_ADDRESS_BYTES + DATAGRAM_BYTES) {
      throw new MalformedError(
        `relay frame: ${length} bytes, want ${RELAY_ADDRESS_BYTES} to ${RELAY_ADDRESS_BYTES + DATAGRAM_BYTES}`,
      )
    }
    const end = offset + 2 + length
    if (end > buffered.length) break
    const peer = toHex(buffered.subarray(offset + 2, offset + 2 + RELAY_ADDRESS_BYTES))
    frames.push({ peer, datagram: buffered.subarray(offset + 2 + RELAY_ADDRESS_BYTES, end) })
    offset = end
  }
  return { frames, rest: buffered.subarray(offset) }
}
