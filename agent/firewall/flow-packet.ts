/** Flow packet: of an IP packet what tells its flow: the two ends, the protocol, its ports; and what kind of packet it is. */

/** Offsets and numbers; nothing is copied. */
export interface FlowPacket {
  readonly packet: Uint8Array
  readonly family: 4 | 6
  readonly protocol: number
  /** Where the header above IP is. */
  readonly at: number
  /** `part`: a fragment that has no ports · `first`: the one that has · `error`: an ICMP error, about `inner` ·
   *  `request`, `reply`: an ICMP echo · `open`: a TCP SYN without ACK · `data`: any other. */
  readonly kind: 'part' | 'data' | 'open' | 'request' | 'reply' | 'error'
  /** Of TCP and UDP; of an echo its identifier, twice. */
  readonly sourcePort: number
  readonly port: number
  /** Of a packet in fragments: what tells them apart from those of others. */
  readonly fragment?: string
  /** The packet that an error is about, which went the other way. */
  readonly inner?: FlowPacket
}

const FRAGMENT = 44
/** Hop-by-hop options, routing, destination options (RFC 8200 §4). */
const EXTENSIONS: readonly number[] = [0, 43, 60]
const MOST_EXTENSIONS = 8
const [ICMP, TCP, UDP, ICMPV6] = [1, 6, 17, 58]
/** Unreachable, time exceeded, parameter problem (RFC 792); and packet too big (RFC 4443). */
const ERRORS: Readonly<Record<number, readonly number[]>> = { 1: [3, 11, 12], 58: [1, 2, 3, 4] }
const ECHOES: Readonly<Record<number, readonly [number, number]>> = { 1: [8, 0], 58: [128, 129] }

/** Undefined for what is no IP packet, is cut short, or is ICMP that belongs to no flow. */
export function readFlowPacket(packet: Uint8Array): FlowPacket | undefined {
  return read(packet, true)
}

function read(packet: Uint8Array, isOuter: boolean): FlowPacket | undefined {
  const version = (packet[0] ?? 0) >> 4
  if (version === 4 && packet.length >= 20) return readIpv4(packet, isOuter)
  return version === 6 && packet.length >= 40 ? readIpv6(packet, isOuter) : undefined
}

function readIpv4(packet: Uint8Array, isOuter: boolean): FlowPacket | undefined {
  const at = ((packet[0] ?? 0) & 0x0f) * 4
  if (at < 20) return undefined
  const word = uint16(packet, 6)
  const isFragment = (word & 0x3fff) !== 0
  const fragment = isFragment ? `4 ${text(packet, 12, 8)} ${text(packet, 4, 2)}` : undefined
  return segment(
    { packet, family: 4, protocol: packet[9] ?? 0, at, isOuter },
    fragment,
    word & 0x1fff,
  )
}

function readIpv6(packet: Uint8Array, isOuter: boolean): FlowPacket | undefined {
  let [protocol, at, offset] = [packet[6] ?? 0, 40, 0]
  let fragment: string | undefined
  for (let count = 0; count < MOST_EXTENSIONS; count += 1) {
    if (protocol !== FRAGMENT && !EXTENSIONS.includes(protocol)) {
      return segment({ packet, family: 6, protocol, at, isOuter }, fragment, offset)
    }
    if (at + 8 > packet.length) return undefined
    const length = protocol === FRAGMENT ? 8 : ((packet[at + 1] ?? 0) + 1) * 8
    if (protocol === FRAGMENT) {
      offset = uint16(packet, at + 2) >> 3
      fragment = `6 ${text(packet, 8, 32)} ${text(packet, at + 4, 4)}`
    }
    protocol = packet[at] ?? 0
    at += length
    if (offset !== 0) return segment({ packet, family: 6, protocol, at, isOuter }, fragment, offset)
  }
  return undefined
}

interface Found {
  readonly packet: Uint8Array
  readonly family: 4 | 6
  readonly protocol: number
  /** Where the header above IP is. */
  readonly at: number
  readonly isOuter: boolean
}

function segment(
  found: Found,
  fragment: string | undefined,
  offset: number,
): FlowPacket | undefined {
  const { packet, family, protocol, at } = found
  const base = { packet, family, protocol, at, ...(fragment === undefined ? {} : { fragment }) }
  if (offset !== 0) return { ...base, kind: 'part', sourcePort: 0, port: 0 }
  const isIcmp = protocol === (family === 4 ? ICMP : ICMPV6)
  if (isIcmp) return icmp(found, base)
  if (protocol !== TCP && protocol !== UDP) return { ...base, kind: 'data', sourcePort: 0, port: 0 }
  // Of a packet inside an error eight bytes are enough.
  if (packet.length < at + (found.isOuter && protocol === TCP ? 20 : 8)) return undefined
  const isOpening = protocol === TCP && found.isOuter && ((packet[at + 13] ?? 0) & 0x12) === 0x02
  return {
    ...base,
    kind: isOpening ? 'open' : 'data',
    sourcePort: uint16(packet, at),
    port: uint16(packet, at + 2),
  }
}

function icmp(
  { packet, protocol, at, isOuter }: Found,
  base: Pick<FlowPacket, 'packet' | 'family' | 'protocol' | 'at'>,
): FlowPacket | undefined {
  if (packet.length < at + 8) return undefined
  const type = packet[at] ?? 0
  const [request, reply] = ECHOES[protocol] ?? []
  if (type === request || type === reply) {
    const id = uint16(packet, at + 4)
    return { ...base, kind: type === request ? 'request' : 'reply', sourcePort: id, port: id }
  }
  if (!isOuter || ERRORS[protocol]?.includes(type) !== true) return undefined
  const inner = read(packet.subarray(at + 8), false)
  if (inner === undefined || inner.family !== base.family) return undefined
  return { ...base, kind: 'error', sourcePort: 0, port: 0, inner }
}

/** The bytes of an end's address as text: for keys. */
export function endText({ packet, family }: FlowPacket, end: 'source' | 'destination'): string {
  const [source, bytes] = family === 4 ? [12, 4] : [8, 16]
  return text(packet, end === 'source' ? source : source + bytes, bytes)
}

/** An end's address as a number. */
export function endNumber(found: FlowPacket, end: 'source' | 'destination'): bigint {
  const bytes = Buffer.from(endText(found, end), 'latin1')
  return BigInt(`0x${bytes.toString('hex')}`)
}

function text(packet: Uint8Array, from: number, bytes: number): string {
  return Buffer.from(packet.buffer, packet.byteOffset + from, bytes).toString('latin1')
}

function uint16(bytes: Uint8Array, offset: number): number {
  return ((bytes[offset] ?? 0) << 8) | (bytes[offset + 1] ?? 0)
}
