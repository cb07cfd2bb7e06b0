/** Packets that are larger than a peer's path carries: what a router does with them. Pure. */
import type { IpLayout } from './ip-packet.ts'

/** RFC 792 and RFC 1191 §4; RFC 4443 §3.2. */
const ICMP = { protocol: 1, type: 3, code: 4, quotedBytes: 8 } as const
const ICMPV6 = { protocol: 58, type: 2, mostBytes: 1280 } as const
const ICMP_BYTES = 8
const TTL = 64
/** Every IPv6 link carries this (RFC 8200 §5): smaller paths must cut WireGuard's datagrams. */
const LEAST_IPV6_MTU = 1280
/** Flags of IPv4's bytes 6 and 7; the rest is the offset, in units of 8 bytes. */
const [DONT_FRAGMENT, MORE_FRAGMENTS, OFFSET] = [0x4000, 0x2000, 0x1fff]
const UNIT = 8

/** The packets to send in its place, or the notice that its sender must send smaller ones (path MTU discovery). */
export type Fitting =
  | { readonly kind: 'send'; readonly packets: readonly Uint8Array[] }
  | { readonly kind: 'notice'; readonly packet: Uint8Array }

/** @param mtu bytes */
export function fitting(packet: Uint8Array, layout: IpLayout, mtu: number): Fitting {
  if (layout.version === 6) {
    const least = Math.max(mtu, LEAST_IPV6_MTU)
    if (packet.length <= least) return { kind: 'send', packets: [packet] }
    return { kind: 'notice', packet: noticeV6(packet, layout, least) }
  }
  if (packet.length <= mtu) return { kind: 'send', packets: [packet] }
  const mayCut = (view(packet).getUint16(6) & DONT_FRAGMENT) === 0
  if (mayCut) return { kind: 'send', packets: fragments(packet, mtu) }
  return { kind: 'notice', packet: noticeV4(packet, layout, mtu) }
}

/** RFC 791 §3.2. */
function fragments(packet: Uint8Array, mtu: number): readonly Uint8Array[] {
  const headerBytes = headerBytesV4(packet)
  const before = view(packet).getUint16(6)
  const room = mtu - headerBytes - ((mtu - headerBytes) % UNIT)
  if (room < UNIT) return []
  const cut: Uint8Array[] = []
  for (let at = headerBytes; at < packet.length; at += room) {
    const payload = packet.subarray(at, at + room)
    const isLast = at + room >= packet.length
    const fragment = new Uint8Array(headerBytes + payload.length)
    fragment.set(packet.subarray(0, headerBytes))
    fragment.set(payload, headerBytes)
    const offset = (before & OFFSET) + (at - headerBytes) / UNIT
    const more = isLast ? before & MORE_FRAGMENTS : MORE_FRAGMENTS
    view(fragment).setUint16(2, fragment.length)
    view(fragment).setUint16(6, more | offset)
    cut.push(withHeaderChecksum(fragment, headerBytes))
  }
  return cut
}

function noticeV4(packet: Uint8Array, layout: IpLayout, mtu: number): Uint8Array {
  const quoted = packet.subarray(0, headerBytesV4(packet) + ICMP.quotedBytes)
  const { headerBytes } = layout
  const notice = new Uint8Array(headerBytes + ICMP_BYTES + quoted.length)
  notice.set([0x45, 0, notice.length >> 8, notice.length & 0xff])
  notice.set([TTL, ICMP.protocol], 8)
  swapAddresses(notice, packet, layout)
  notice.set([ICMP.type, ICMP.code], headerBytes)
  view(notice).setUint16(headerBytes + 6, mtu)
  notice.set(quoted, headerBytes + ICMP_BYTES)
  view(notice).setUint16(headerBytes + 2, internetChecksum(notice.subarray(headerBytes)))
  return withHeaderChecksum(notice, headerBytes)
}

function noticeV6(packet: Uint8Array, layout: IpLayout, mtu: number): Uint8Array {
  const { headerBytes } = layout
  const quoted = packet.subarray(0, ICMPV6.mostBytes - headerBytes - ICMP_BYTES)
  const length = ICMP_BYTES + quoted.length
  const notice = new Uint8Array(headerBytes + length)
  notice[0] = 0x60
  view(notice).setUint16(4, length)
  notice.set([ICMPV6.protocol, TTL], 6)
  swapAddresses(notice, packet, layout)
  notice[headerBytes] = ICMPV6.type
  view(notice).setUint32(headerBytes + 4, mtu)
  notice.set(quoted, headerBytes + ICMP_BYTES)
  // The pseudo-header (RFC 8200 §8.1): addresses, length, protocol.
  const pseudo = new Uint8Array(headerBytes)
  pseudo.set(notice.subarray(8, 40))
  view(pseudo).setUint32(32, length)
  pseudo[39] = ICMPV6.protocol
  const checksum = internetChecksum(pseudo, notice.subarray(headerBytes))
  view(notice).setUint16(headerBytes + 2, checksum)
  return notice
}

/** From the packet's destination to its source, as if it had got there. */
function swapAddresses(
  notice: Uint8Array,
  packet: Uint8Array,
  { source, destination, headerBytes }: IpLayout,
): void {
  const bytes = destination - source
  notice.set(packet.subarray(destination, headerBytes), source)
  notice.set(packet.subarray(source, source + bytes), destination)
}

function headerBytesV4(packet: Uint8Array): number {
  return Math.min(packet.length, Math.max(5, (packet[0] ?? 0) & 0xf) * 4)
}

function withHeaderChecksum(packet: Uint8Array, headerBytes: number): Uint8Array {
  view(packet).setUint16(10, 0)
  view(packet).setUint16(10, internetChecksum(packet.subarray(0, headerBytes)))
  return packet
}

/** RFC 1071, of the parts one after another; all but the last are of whole words. */
export function internetChecksum(...parts: readonly Uint8Array[]): number {
  let sum = 0
  for (const part of parts) {
    for (let at = 0; at < part.length; at += 2) sum += ((part[at] ?? 0) << 8) | (part[at + 1] ?? 0)
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return ~sum & 0xffff
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
