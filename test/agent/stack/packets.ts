/** Packets made by hand, checksums right. */
import { addressBytes, addressFamily, type IpAddress } from '../../../protocol/address.ts'

export interface Segment {
  readonly from: IpAddress
  readonly to: IpAddress
  readonly fromPort: number
  readonly toPort: number
  readonly sequence: number
  readonly acknowledgement: number
  readonly flags: number
  readonly window: number
  /** Of whole words. */
  readonly options?: Uint8Array
  readonly payload?: Uint8Array
}

function checksum(...parts: readonly Uint8Array[]): number {
  const bytes = Buffer.concat(parts)
  let sum = 0
  for (let at = 0; at < bytes.length; at += 2) sum += ((bytes[at] ?? 0) << 8) + (bytes[at + 1] ?? 0)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return ~sum & 0xffff
}

function pseudoHeader(from: IpAddress, to: IpAddress, protocol: number, length: number): Buffer {
  const tail = Buffer.alloc(8)
  tail.writeUInt32BE(length)
  tail[7] = protocol
  return Buffer.concat([addressBytes(from), addressBytes(to), tail])
}

export function ipPacket(
  from: IpAddress,
  to: IpAddress,
  protocol: number,
  payload: Uint8Array,
): Uint8Array {
  const addresses = [addressBytes(from), addressBytes(to)]
  if (addressFamily(to) === 6) {
    const header = Buffer.alloc(8)
    header[0] = 0x60
    header.writeUInt16BE(payload.length, 4)
    header[6] = protocol
    header[7] = 64
    return Buffer.concat([header, ...addresses, payload])
  }
  const header = Buffer.alloc(12)
  header[0] = 0x45
  header.writeUInt16BE(20 + payload.length, 2)
  header[8] = 64
  header[9] = protocol
  header.writeUInt16BE(checksum(header, ...addresses), 10)
  return Buffer.concat([header, ...addresses, payload])
}

export function tcpSegment(segment: Segment): Uint8Array {
  const { from, to, options = new Uint8Array(0), payload = new Uint8Array(0) } = segment
  const header = Buffer.alloc(20)
  header.writeUInt16BE(segment.fromPort, 0)
  header.writeUInt16BE(segment.toPort, 2)
  header.writeUInt32BE(segment.sequence >>> 0, 4)
  header.writeUInt32BE(segment.acknowledgement >>> 0, 8)
  header[12] = (5 + options.length / 4) << 4
  header[13] = segment.flags
  header.writeUInt16BE(segment.window, 14)
  const length = 20 + options.length + payload.length
  const pseudo = pseudoHeader(from, to, 6, length)
  header.writeUInt16BE(checksum(pseudo, header, options, payload), 16)
  return ipPacket(from, to, 6, Buffer.concat([header, options, payload]))
}

/** A router's word that a packet is larger than the path carries. */
export function tooBig(
  router: IpAddress,
  to: IpAddress,
  packet: Uint8Array,
  mtu: number,
): Uint8Array {
  const icmp = Buffer.alloc(8)
  const quote = packet.subarray(0, 500)
  if (addressFamily(to) === 6) {
    icmp[0] = 2
    icmp.writeUInt32BE(mtu, 4)
    const pseudo = pseudoHeader(router, to, 58, 8 + quote.length)
    icmp.writeUInt16BE(checksum(pseudo, icmp, quote), 2)
    return ipPacket(router, to, 58, Buffer.concat([icmp, quote]))
  }
  icmp[0] = 3
  icmp[1] = 4
  icmp.writeUInt16BE(mtu, 6)
  icmp.writeUInt16BE(checksum(icmp, quote), 2)
  return ipPacket(router, to, 1, Buffer.concat([icmp, quote]))
}

/** The same IPv4 packet; the SACK-permitted option of a SYN (RFC 2018) is blanked. */
export function spoilSackPermitted(packet: Uint8Array): Uint8Array {
  const isSyn = ((packet[33] ?? 0) & 2) !== 0
  const at = Buffer.from(packet).indexOf(Uint8Array.of(1, 1, 4, 2), 40)
  if (!isSyn || at < 0) return packet
  const spoilt = Uint8Array.from(packet)
  spoilt.fill(1, at, at + 4)
  const tcp = spoilt.subarray(20)
  tcp.fill(0, 16, 18)
  const pseudo = Buffer.concat([spoilt.subarray(12, 20), Uint8Array.of(0, 6, 0, tcp.length)])
  Buffer.from(tcp.buffer, tcp.byteOffset).writeUInt16BE(checksum(pseudo, tcp), 16)
  return spoilt
}

interface UdpFields {
  readonly from: IpAddress
  readonly to: IpAddress
  readonly fromPort: number
  readonly toPort: number
  readonly payload: Uint8Array
}

export function udpPacket({ from, to, fromPort, toPort, payload }: UdpFields): Uint8Array {
  const header = Buffer.alloc(8)
  header.writeUInt16BE(fromPort, 0)
  header.writeUInt16BE(toPort, 2)
  header.writeUInt16BE(8 + payload.length, 4)
  const sum = checksum(pseudoHeader(from, to, 17, 8 + payload.length), header, payload)
  header.writeUInt16BE(sum === 0 ? 0xffff : sum, 6)
  return ipPacket(from, to, 17, Buffer.concat([header, payload]))
}

/** ICMP: destination unreachable; without a code, because nothing listens on the port. */
export function unreachable(
  from: IpAddress,
  to: IpAddress,
  quote: Uint8Array,
  code = addressFamily(to) === 6 ? 4 : 3,
): Uint8Array {
  const isV6 = addressFamily(to) === 6
  const icmp = Buffer.concat([Uint8Array.of(isV6 ? 1 : 3, code, 0, 0, 0, 0, 0, 0), quote])
  const sum = isV6 ? checksum(pseudoHeader(from, to, 58, icmp.length), icmp) : checksum(icmp)
  icmp.writeUInt16BE(sum, 2)
  return ipPacket(from, to, isV6 ? 58 : 1, icmp)
}
