/** SOCKS messages: version 5 as far as a client of ours needs it (RFC 1928). Its parsers are told all that has come so
 *  far, and answer undefined as long as more must come. */
import { addressBytes, addressFromBytes, type Endpoint } from '../../protocol/address.ts'
import { MalformedError } from '../../protocol/errors.ts'

/** §6. */
export const SOCKS_REPLY = {
  succeeded: 0,
  failed: 1,
  notAllowed: 2,
  networkUnreachable: 3,
  hostUnreachable: 4,
  refused: 5,
  commandNotSupported: 7,
  addressNotSupported: 8,
} as const
export type SocksReply = (typeof SOCKS_REPLY)[keyof typeof SOCKS_REPLY]

/** §4. */
export const SOCKS_COMMAND = { connect: 1, udpAssociate: 3 } as const

const VERSION = 5
const NO_AUTHENTICATION = 0
const NO_METHOD = 0xff
const ADDRESS = { ipv4: 1, name: 3, ipv6: 4 } as const
/** Bytes of the longest greeting, and of the longest request. */
export const LONGEST_SOCKS_MESSAGE = 262

export interface SocksHost {
  /** An address in canonical form, or a name. */
  readonly host: string
  readonly port: number
}

export interface SocksRequest extends SocksHost {
  readonly command: number
  /** Bytes that it took. */
  readonly length: number
}

/** §3: may the client go without authentication? Throws MalformedError. */
export function parseSocksGreeting(
  bytes: Uint8Array,
): { readonly isOpen: boolean; readonly length: number } | undefined {
  const [version, count] = bytes
  if (version !== undefined && version !== VERSION)
    throw new MalformedError(`SOCKS greeting: version ${version}, want ${VERSION}`)
  if (count === undefined) return undefined
  if (count === 0) throw new MalformedError('SOCKS greeting: no methods, want at least 1')
  const length = 2 + count
  if (bytes.length < length) return undefined
  return { isOpen: bytes.subarray(2, length).includes(NO_AUTHENTICATION), length }
}

export function encodeSocksMethod(isOpen: boolean): Uint8Array {
  return Uint8Array.of(VERSION, isOpen ? NO_AUTHENTICATION : NO_METHOD)
}

/** §4. Throws MalformedError. */
export function parseSocksRequest(bytes: Uint8Array): SocksRequest | undefined {
  const [version, command, reserved] = bytes
  if (version !== undefined && version !== VERSION)
    throw new MalformedError(`SOCKS request: version ${version}, want ${VERSION}`)
  if (reserved !== undefined && reserved !== 0)
    throw new MalformedError(`SOCKS request: reserved byte ${reserved}, want 0`)
  const host = parseHost(bytes, 3)
  return host === undefined || command === undefined ? undefined : { ...host, command }
}

/** §6. */
export function encodeSocksReply(reply: SocksReply, bound?: Endpoint): Uint8Array {
  return Buffer.concat([Uint8Array.of(VERSION, reply, 0), encodeHost(bound)])
}

/** §7: a datagram with where it goes. Throws MalformedError, also on fragments, which nobody sends. */
export function parseSocksDatagram(bytes: Uint8Array): SocksHost & { readonly data: Uint8Array } {
  const fragment = bytes[2] ?? 0
  if (bytes.length > 2 && fragment !== 0)
    throw new MalformedError(`SOCKS datagram: fragment ${fragment}, want 0`)
  const host = parseHost(bytes, 3)
  if (host === undefined) throw new MalformedError(`SOCKS datagram of ${bytes.length} bytes`)
  return { host: host.host, port: host.port, data: bytes.subarray(host.length) }
}

export function encodeSocksDatagram(from: Endpoint, data: Uint8Array): Uint8Array {
  return Buffer.concat([Uint8Array.of(0, 0, 0), encodeHost(from), data])
}

function parseHost(bytes: Uint8Array, at: number): (SocksHost & { length: number }) | undefined {
  const kind = bytes[at]
  const nameLength = bytes[at + 1]
  if (kind === undefined || nameLength === undefined) return undefined
  const [first, length] = sizes(kind, at, nameLength)
  if (bytes.length < first + length + 2) return undefined
  const value = bytes.subarray(first, first + length)
  const port = ((bytes[first + length] ?? 0) << 8) | (bytes[first + length + 1] ?? 0)
  const host = kind === ADDRESS.name ? nameOf(value) : addressFromBytes(value)
  return { host, port, length: first + length + 2 }
}

/** Where the host begins, and its bytes. */
function sizes(kind: number, at: number, nameLength: number): readonly [number, number] {
  if (kind === ADDRESS.ipv4) return [at + 1, 4]
  if (kind === ADDRESS.ipv6) return [at + 1, 16]
  if (kind !== ADDRESS.name)
    throw new MalformedError(`SOCKS address of type ${kind}, want 1, 3 or 4`)
  if (nameLength === 0) throw new MalformedError('SOCKS address: the name is empty')
  return [at + 2, nameLength]
}

function nameOf(bytes: Uint8Array): string {
  if (bytes.every((byte) => byte > 0x20 && byte < 0x7f))
    return Buffer.from(bytes).toString('latin1')
  throw new MalformedError('SOCKS address: a name is of visible ASCII characters')
}

function encodeHost(endpoint: Endpoint | undefined): Uint8Array {
  const address = endpoint === undefined ? new Uint8Array(4) : addressBytes(endpoint.address)
  const port = endpoint?.port ?? 0
  const kind = address.length === 16 ? ADDRESS.ipv6 : ADDRESS.ipv4
  return Uint8Array.of(kind, ...address, port >> 8, port & 0xff)
}
