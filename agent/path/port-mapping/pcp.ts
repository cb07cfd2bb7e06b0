/** PCP messages (RFC 6887): the MAP request for UDP, and what a server says. */
import { concat } from '../../../crypto/bytes.ts'
import {
  addressBytes,
  addressFamily,
  addressFromBytes,
  type Endpoint,
  type IpAddress,
} from '../../../protocol/address.ts'
import { MalformedError } from '../../../protocol/errors.ts'
import { type Seconds, seconds } from '../../../protocol/time.ts'

const VERSION = 2
const OPCODES = { 0: 'announce', 1: 'map' } as const
const MAP = 1
/** The high bit of the second byte marks a response (§7.2). */
const RESPONSE = 0x80
const UDP = 17
/** Bytes (§7). */
const [HEADER_BYTES, MAP_BYTES, MESSAGE_BYTES] = [24, 36, 1100]
export const PCP_NONCE_BYTES = 12

/** §7.4, by number. */
const RESULTS = [
  'success',
  'unsupported version',
  'not authorized',
  'malformed request',
  'unsupported opcode',
  'unsupported option',
  'malformed option',
  'network failure',
  'no resources',
  'unsupported protocol',
  'quota exceeded',
  'cannot provide that external port',
  'address mismatch',
  'too many remote peers',
] as const

export interface PcpMapRequest {
  /** The address that the request is sent from (§8.1). */
  readonly client: IpAddress
  /** 12 bytes; the same for a renewal (§11.1). */
  readonly nonce: Uint8Array
  readonly internalPort: number
  /** What is wished for; the server decides. */
  readonly suggested: Endpoint
  /** 0 deletes. */
  readonly lifetime: Seconds
}

export interface PcpMap {
  readonly nonce: Uint8Array
  readonly internalPort: number
  readonly external: Endpoint
}

export type PcpResponse =
  | { readonly kind: 'other-version'; readonly version: number }
  | {
      readonly kind: 'announce' | 'map'
      /** `success`, or why not. */
      readonly result: string
      /** Of the mapping; after an error: of the error. */
      readonly lifetime: Seconds
      readonly epoch: Seconds
      /** Of a MAP response, errors included. */
      readonly map?: PcpMap
    }

export function encodePcpMapRequest(request: PcpMapRequest): Uint8Array {
  const header = new DataView(new ArrayBuffer(8))
  header.setUint8(0, VERSION)
  header.setUint8(1, MAP)
  header.setUint32(4, request.lifetime)
  const ports = new DataView(new ArrayBuffer(8))
  ports.setUint8(0, UDP)
  ports.setUint16(4, request.internalPort)
  ports.setUint16(6, request.suggested.port)
  return concat(
    new Uint8Array(header.buffer),
    sixteenBytes(request.client),
    request.nonce,
    new Uint8Array(ports.buffer),
    sixteenBytes(request.suggested.address),
  )
}

/** Throws MalformedError on what is no response of a server, or is to another opcode or protocol. */
export function parsePcpResponse(bytes: Uint8Array): PcpResponse {
  const version = bytes[0]
  if (version === undefined || bytes.length > MESSAGE_BYTES) {
    throw new MalformedError(`PCP response of ${bytes.length} bytes, want 1 to ${MESSAGE_BYTES}`)
  }
  if (version !== VERSION) return { kind: 'other-version', version }
  if (bytes.length < HEADER_BYTES || bytes.length % 4 !== 0) {
    throw new MalformedError(
      `PCP response of ${bytes.length} bytes, want ${HEADER_BYTES} or more, a multiple of 4`,
    )
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const [marked, number] = [view.getUint8(1), view.getUint8(3)]
  const kind = OPCODES[(marked & ~RESPONSE) as keyof typeof OPCODES]
  if ((marked & RESPONSE) === 0 || kind === undefined) {
    throw new MalformedError(`PCP response: opcode byte is ${marked}`)
  }
  return {
    kind,
    result: RESULTS[number] ?? `result ${number}`,
    lifetime: seconds(view.getUint32(4)),
    epoch: seconds(view.getUint32(8)),
    ...(kind === 'map' ? { map: parseMap(bytes.subarray(HEADER_BYTES)) } : {}),
  }
}

/** §11.1. Options after it are none that we asked for, and ignored. */
function parseMap(bytes: Uint8Array): PcpMap {
  if (bytes.length < MAP_BYTES) {
    throw new MalformedError(`PCP MAP response of ${bytes.length} bytes, want ${MAP_BYTES}`)
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const protocol = view.getUint8(PCP_NONCE_BYTES)
  if (protocol !== UDP) throw new MalformedError(`PCP MAP response: protocol is ${protocol}`)
  return {
    nonce: bytes.slice(0, PCP_NONCE_BYTES),
    internalPort: view.getUint16(16),
    external: { port: view.getUint16(18), address: addressFromBytes(bytes.slice(20, MAP_BYTES)) },
  }
}

/** IPv4 as IPv4-mapped IPv6 (§5). */
function sixteenBytes(address: IpAddress): Uint8Array {
  const bytes = addressBytes(address)
  return addressFamily(address) === 6
    ? bytes
    : concat(Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff), bytes)
}
