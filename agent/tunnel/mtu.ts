/** MTU: how large the packets inside the tunnel may be, from what the links and paths outside carry. Pure;
 *  all sizes are bytes. */
import { DATAGRAM_BYTES } from '../../protocol/relay.ts'
import { LEAST_IPV6_MTU } from '../host/routes.ts'

/** Fits WireGuard over IPv6 in Ethernet's 1500. */
const DEFAULT_MTU = 1420
/** WireGuard's header of 16 and tag of 16. */
const WIREGUARD_BYTES = 32
/** IP and UDP headers without options. */
const HEADER_BYTES = { 4: 20 + 8, 6: 40 + 8 } as const
/** Relays carry no longer datagram. */
const MOST_MTU = DATAGRAM_BYTES - WIREGUARD_BYTES
/** WireGuard fills packets up to a multiple of this, but not beyond its interface's MTU. */
const PADDED_TO = 16

/** Of the tunnel's interface over a link of that MTU, whether IPv4 or IPv6 carries it; of a link of which
 *  nothing is known the usual one. */
export function interfaceMtu(linkMtu: number | undefined): number {
  if (linkMtu === undefined) return DEFAULT_MTU
  const room = linkMtu - HEADER_BYTES[6] - WIREGUARD_BYTES
  // A check that is as long as a packet is of whole words (RFC 8489 §5).
  return Math.max(LEAST_IPV6_MTU, Math.min(MOST_MTU, room - (room % 4)))
}

/** The largest packet that, in WireGuard's datagram, is an IP packet of at most `outer` bytes. */
export function largestPacket(outer: number, family: 4 | 6, ofInterface: number): number {
  return roundedMtu(outer - HEADER_BYTES[family] - WIREGUARD_BYTES, ofInterface)
}

/** What a path is taken to carry of which nothing is known, and a relay does carry: Ethernet's. */
export function usualMtu(ofInterface: number): number {
  return roundedMtu(DEFAULT_MTU, ofInterface)
}

/** Bytes of WireGuard's datagram for a packet of this size, which `largestPacket` gave. */
export function datagramBytes(packet: number): number {
  return packet + WIREGUARD_BYTES
}

/** The greatest size up to `most` that WireGuard's filling does not make larger. */
export function roundedMtu(most: number, ofInterface: number): number {
  return most >= ofInterface ? ofInterface : most - (most % PADDED_TO)
}
