/** IP packets as they are on the wire, with checksums that hold. */
import { addressBytes, addressFamily, parseIpAddress } from '../../protocol/address.ts'

export interface PacketFields {
  readonly source: string
  readonly destination: string
  /** IANA number: TCP, UDP, ICMP, ICMPv6, or another one, whose payload is zeros. */
  readonly protocol: number
  readonly sourcePort?: number | undefined
  readonly port?: number | undefined
  /** Of TCP, as a word: `S`, `SA`, `A`, `R`. */
  readonly flags?: string
  /** ICMP type; an echo request unless given. Its identifier is the source port. */
  readonly type?: number
  readonly payload?: Uint8Array
  /** IPv4 identification, IPv6 flow label: tells packets apart whatever they carry. */
  readonly id?: number
}

const FLAGS: Readonly<Record<string, number>> = { F: 1, S: 2, R: 4, P: 8, A: 16 }

export function ipPacket(fields: PacketFields): Uint8Array {
  const { source, destination, protocol, id = 0 } = fields
  const [from, to] = [parseIpAddress(source), parseIpAddress(destination)]
  const body = segment(fields, Buffer.from(addressBytes(from)), Buffer.from(addressBytes(to)))
  if (addressFamily(from) === 6) {
    const header = Buffer.alloc(40)
    header.writeUInt32BE(0x6000_0000 | id, 0)
    header.writeUInt16BE(body.length, 4)
    header.set([protocol, 64], 6)
    header.set(addressBytes(from), 8)
    header.set(addressBytes(to), 24)
    return Buffer.concat([header, body])
  }
  const header = Buffer.alloc(20)
  header[0] = 0x45
  header.writeUInt16BE(20 + body.length, 2)
  header.writeUInt16BE(id, 4)
  header.set([64, protocol], 8)
  header.set(addressBytes(from), 12)
  header.set(addressBytes(to), 16)
  header.writeUInt16BE(checksum(header), 10)
  return Buffer.concat([header, body])
}

function segment(fields: PacketFields, from: Buffer, to: Buffer): Buffer {
  const { protocol, sourcePort = 40_000, port = 0, payload = new Uint8Array(0) } = fields
  const pseudo = Buffer.concat([from, to, Buffer.from([0, protocol])])
  const withLength = (body: Buffer): Buffer => {
    const length = Buffer.alloc(2)
    length.writeUInt16BE(body.length)
    return Buffer.concat([pseudo, length, body, Buffer.alloc(body.length % 2)])
  }
  switch (protocol) {
    case 6: {
      const body = Buffer.concat([Buffer.alloc(20), payload])
      body.writeUInt16BE(sourcePort, 0)
      body.writeUInt16BE(port, 2)
      body.writeUInt32BE(1000, 4)
      body[12] = 0x50
      body[13] = [...(fields.flags ?? 'S')].reduce((all, each) => all | (FLAGS[each] ?? 0), 0)
      body.writeUInt16BE(4096, 14)
      body.writeUInt16BE(checksum(withLength(body)), 16)
      return body
    }
    case 17: {
      const body = Buffer.concat([Buffer.alloc(8), payload])
      body.writeUInt16BE(sourcePort, 0)
      body.writeUInt16BE(port, 2)
      body.writeUInt16BE(body.length, 4)
      body.writeUInt16BE(checksum(withLength(body)) || 0xffff, 6)
      return body
    }
    case 1:
    case 58: {
      const body = Buffer.concat([Buffer.alloc(8), payload])
      body[0] = fields.type ?? (protocol === 1 ? 8 : 128)
      body.writeUInt16BE(sourcePort, 4)
      body.writeUInt16BE(checksum(protocol === 1 ? body : withLength(body)), 2)
      return body
    }
    default:
      return Buffer.concat([Buffer.alloc(4), payload])
  }
}

/** RFC 1071. */
function checksum(bytes: Buffer): number {
  let sum = 0
  for (let at = 0; at < bytes.length; at += 2) {
    sum += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0)
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return ~sum & 0xffff
}
