/** Captures on the wire: what passed an interface, by protocol, as tcpdump saw it. */
import { join } from 'node:path'
import { addressFromBytes, formatEndpoint } from '../../protocol/address.ts'
import type { Namespace, Running } from './namespace.ts'

export type PacketKind =
  | 'wireguard-handshake'
  | 'wireguard-data'
  | 'stun'
  | 'other-udp'
  | 'tcp'
  | 'other'

export interface Packet {
  readonly kind: PacketKind
  /** `192.0.2.1:51820` or `[2001:db8::1]:51820`; the bare address where the protocol has no ports. */
  readonly source: string
  readonly destination: string
  /** Bytes of the IP packet. */
  readonly length: number
}

export interface Capture {
  /** Ends it and gives what it saw. */
  stop(): Promise<readonly Packet[]>
}

/** @param filter of pcap-filter(7); link-level headers are left out */
export async function startCapture(
  at: Namespace,
  device: string,
  filter: string,
  folder: string,
): Promise<Capture> {
  const args = [
    '-n',
    '-l',
    '-U',
    '-i',
    device,
    '-x',
    '-s',
    '128',
    '--immediate-mode',
    `(ip or ip6) and (${filter})`,
  ]
  const running: Running = at.spawn(join(folder, `capture-${at.name}.log`), 'tcpdump', args)
  await running.waitFor(/listening on/)
  return {
    stop: async () => {
      // What was on its way is still to be printed.
      await new Promise((resolve) => setTimeout(resolve, 300))
      await running.stop('SIGINT')
      return packetsOf(running.lines)
    },
  }
}

/** Packets of tcpdump's output with `-x`: indented lines of hexadecimal words are the packet. */
function packetsOf(lines: readonly string[]): readonly Packet[] {
  const packets: string[] = []
  for (const line of lines) {
    const words = /^\s+0x[0-9a-f]+: {2}(.*)$/.exec(line)?.[1]
    if (words === undefined) packets.push('')
    else packets[packets.length - 1] = (packets.at(-1) ?? '') + words.replaceAll(' ', '')
  }
  return packets
    .filter((hex) => hex.length >= 40)
    .map((hex) => parsePacket(Buffer.from(hex, 'hex')))
}

function parsePacket(bytes: Buffer): Packet {
  const isIpv6 = (bytes[0] ?? 0) >> 4 === 6
  const headerLength = isIpv6 ? 40 : ((bytes[0] ?? 0) & 15) * 4
  const protocol = isIpv6 ? bytes[6] : bytes[9]
  const body = bytes.subarray(headerLength)
  const hasPorts = (protocol === 17 || protocol === 6) && body.length >= 8
  const [from, to] = isIpv6 ? ([8, 24] as const) : ([12, 16] as const)
  const end = (offset: number, port: number): string => {
    const address = addressFromBytes(bytes.subarray(offset, offset + to - from))
    return hasPorts ? formatEndpoint({ address, port: body.readUInt16BE(port) }) : address
  }
  return {
    kind: protocol === 6 ? 'tcp' : protocol === 17 ? udpKind(body.subarray(8)) : 'other',
    source: end(from, 0),
    destination: end(to, 2),
    length: isIpv6 ? headerLength + bytes.readUInt16BE(4) : bytes.readUInt16BE(2),
  }
}

function udpKind(payload: Buffer): PacketKind {
  if (payload.length < 8) return 'other-udp'
  if (payload.readUInt32BE(4) === 0x2112a442) return 'stun'
  const type = payload.readUInt32LE(0)
  if (type >= 1 && type <= 3) return 'wireguard-handshake'
  return type === 4 ? 'wireguard-data' : 'other-udp'
}
