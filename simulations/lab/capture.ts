/** Captures on the wire: what passed an interface, by protocol, as tcpdump saw it. */
import { join } from 'node:path'
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
    '96',
    '--immediate-mode',
    `ip and (${filter})`,
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
  const header = ((bytes[0] ?? 0) & 15) * 4
  const address = (offset: number): string => [...bytes.subarray(offset, offset + 4)].join('.')
  const body = bytes.subarray(header)
  const protocol = bytes[9]
  const hasPorts = (protocol === 17 || protocol === 6) && body.length >= 8
  const port = (offset: number): string => (hasPorts ? `:${body.readUInt16BE(offset)}` : '')
  return {
    kind: protocol === 6 ? 'tcp' : protocol === 17 ? udpKind(body.subarray(8)) : 'other',
    source: address(12) + port(0),
    destination: address(16) + port(2),
    length: bytes.readUInt16BE(2),
  }
}

function udpKind(payload: Buffer): PacketKind {
  if (payload.length < 8) return 'other-udp'
  if (payload.readUInt32BE(4) === 0x2112a442) return 'stun'
  const type = payload.readUInt32LE(0)
  if (type >= 1 && type <= 3) return 'wireguard-handshake'
  return type === 4 ? 'wireguard-data' : 'other-udp'
}
