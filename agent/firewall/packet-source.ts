/** Packet source: gives packets from one prefix the same host of another as their source, and keeps checksums right
 *  (RFC 1624): what nftables does where there is an interface (alias-rules.ts). */
import {
  addressBytes,
  addressFamily,
  type Prefix,
  prefixAddress,
  prefixMask,
} from '../../protocol/address.ts'
import { readFlowPacket } from './flow-packet.ts'

interface SourceChange {
  readonly family: 4 | 6
  readonly mask: Uint8Array
  readonly from: Uint8Array
  readonly to: Uint8Array
}

/** Offset of the source, and of IPv4's checksum. */
const SOURCE = { 4: 12, 6: 8 } as const
const IPV4_CHECKSUM = 10
/** Offsets of checksums that the source is part of: of TCP, UDP, ICMPv6. */
const CHECKSUMS: Readonly<Record<number, number>> = { 6: 16, 17: 6, 58: 2 }
const UDP = 17

/** @param pairs of prefixes of the same length, from which and to which */
export function sourceChanges(
  pairs: readonly (readonly [Prefix, Prefix])[],
): readonly SourceChange[] {
  return pairs.map(([one, other]) => {
    const [from, to] = [addressBytes(prefixAddress(one)), addressBytes(prefixAddress(other))]
    return { family: addressFamily(one), mask: prefixMask(one), from, to }
  })
}

/** The packet itself where none of them is meant, else another. */
export function withSource(packet: Uint8Array, changes: readonly SourceChange[]): Uint8Array {
  const change = changes.find((each) => isFrom(packet, each))
  if (change === undefined) return packet
  const { family, mask, to } = change
  const start = SOURCE[family]
  const next = Uint8Array.from(packet)
  for (const [index, bits] of mask.entries()) {
    const host = (packet[start + index] ?? 0) & ~bits & 0xff
    next[start + index] = host | ((to[index] ?? 0) & bits)
  }
  const [before, after] = [packet, next].map((each) => sumOf(each, start, mask.length)) as [
    number,
    number,
  ]
  if (family === 4) adjust(next, IPV4_CHECKSUM, before, after)
  adjustAbove(next, before, after)
  return next
}

function isFrom(packet: Uint8Array, { family, mask, from }: SourceChange): boolean {
  const start = SOURCE[family]
  if ((packet[0] ?? 0) >> 4 !== family || packet.length < start + mask.length) return false
  return mask.every((bits, index) => ((packet[start + index] ?? 0) & bits) === from[index])
}

/** Of the first fragment alone the header above IP is there. */
function adjustAbove(packet: Uint8Array, before: number, after: number): void {
  const found = readFlowPacket(packet)
  if (found === undefined || found.kind === 'part') return
  const { protocol, at } = found
  const offset = CHECKSUMS[protocol]
  if (offset === undefined || at + offset + 2 > packet.length) return
  // UDP without a checksum (RFC 768).
  if (protocol === UDP && uint16(packet, at + offset) === 0) return
  adjust(packet, at + offset, before, after)
  if (protocol === UDP && uint16(packet, at + offset) === 0) packet.fill(0xff, at + offset, at + 8)
}

/** RFC 1624, equation 3: HC' = ~(~HC + ~m + m'). */
function adjust(packet: Uint8Array, offset: number, before: number, after: number): void {
  const sum = folded((~uint16(packet, offset) & 0xffff) + (~before & 0xffff) + after)
  const checksum = ~sum & 0xffff
  packet[offset] = checksum >> 8
  packet[offset + 1] = checksum & 0xff
}

function sumOf(packet: Uint8Array, start: number, length: number): number {
  let sum = 0
  for (let at = start; at < start + length; at += 2) sum += uint16(packet, at)
  return folded(sum)
}

function folded(sum: number): number {
  const once = (sum & 0xffff) + (sum >>> 16)
  return (once & 0xffff) + (once >>> 16)
}

function uint16(bytes: Uint8Array, offset: number): number {
  return ((bytes[offset] ?? 0) << 8) | (bytes[offset + 1] ?? 0)
}
