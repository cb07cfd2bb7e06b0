/** IP packets, as far as WireGuard looks into them: version, length, source and destination. */

export interface IpLayout {
  readonly version: 4 | 6
  /** Offsets. */
  readonly source: number
  readonly destination: number
  readonly headerBytes: number
}

const IPV4: IpLayout = { version: 4, source: 12, destination: 16, headerBytes: 20 }
const IPV6: IpLayout = { version: 6, source: 8, destination: 24, headerBytes: 40 }

/** Undefined for what is no IP packet, or has not even a header. */
export function ipLayout(packet: Uint8Array): IpLayout | undefined {
  const version = (packet[0] ?? 0) >> 4
  if (version === 4 && packet.length >= IPV4.headerBytes) return IPV4
  return version === 6 && packet.length >= IPV6.headerBytes ? IPV6 : undefined
}

/** The packet without what it was filled up with; undefined where its header tells of more bytes than there are, or
 *  of less than a header. */
export function trimmed(
  packet: Uint8Array,
  { version, headerBytes }: IpLayout,
): Uint8Array | undefined {
  const told = version === 4 ? uint16(packet, 2) : uint16(packet, 4) + headerBytes
  if (told < headerBytes || told > packet.length) return undefined
  return told === packet.length ? packet : packet.subarray(0, told)
}

function uint16(bytes: Uint8Array, offset: number): number {
  return ((bytes[offset] ?? 0) << 8) | (bytes[offset + 1] ?? 0)
}
