/** IP addresses, prefixes and endpoints in canonical text form: equal text is equal value. */
import ipaddr from 'ipaddr.js'
import type { Brand } from '../crypto/bytes.ts'
import { MalformedError } from './errors.ts'

/** Canonical text of an IPv4 or IPv6 address (RFC 5952), never IPv4-mapped. */
export type IpAddress = Brand<string, 'IpAddress'>
/** Canonical text `address/length` with no host bits set. */
export type Prefix = Brand<string, 'Prefix'>
export type AddressFamily = 4 | 6

export interface Endpoint {
  readonly address: IpAddress
  /** 1 to 65535. */
  readonly port: number
}

/** Four decimal parts without leading zeros. */
const IPV4 = /^(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)){3}$/

/** Strict: four decimal parts for IPv4, no zone for IPv6. IPv4-mapped IPv6 becomes IPv4.
 *  Throws MalformedError. */
export function parseIpAddress(text: string): IpAddress {
  if (IPV4.test(text)) return text as IpAddress
  if (!ipaddr.IPv6.isValid(text) || text.includes('%') || text.length > 45) {
    throw new MalformedError(`IP address "${text.slice(0, 60)}"`)
  }
  return addressFromBytes(Uint8Array.from(ipaddr.IPv6.parse(text).toByteArray()))
}

/** 4 or 16 bytes in network order. Throws MalformedError on another length. */
export function addressFromBytes(bytes: Uint8Array): IpAddress {
  if (bytes.length !== 4 && bytes.length !== 16) {
    throw new MalformedError(`IP address of ${bytes.length} bytes, want 4 or 16`)
  }
  if (bytes.length === 4) return bytes.join('.') as IpAddress
  const parsed = new ipaddr.IPv6([...bytes])
  if (parsed.isIPv4MappedAddress()) return parsed.toIPv4Address().toString() as IpAddress
  return parsed.toRFC5952String() as IpAddress
}

/** 4 or 16 bytes in network order. */
export function addressBytes(address: IpAddress): Uint8Array {
  if (addressFamily(address) === 4) return Uint8Array.from(address.split('.'), Number)
  return Uint8Array.from(ipaddr.IPv6.parse(address).toByteArray())
}

export function addressFamily(address: IpAddress | Prefix): AddressFamily {
  return address.includes(':') ? 6 : 4
}

/** `10.0.0.0/8`, or a bare address, which means its host prefix. Throws MalformedError. */
export function parsePrefix(text: string): Prefix {
  const [addressText = '', lengthText, extra] = text.slice(0, 64).split('/')
  const address = parseIpAddress(addressText)
  const most = addressFamily(address) === 4 ? 32 : 128
  if (lengthText === undefined) return `${address}/${most}` as Prefix
  const length = /^(0|[1-9]\d{0,2})$/.test(lengthText) ? Number(lengthText) : Number.NaN
  if (extra !== undefined || !(length <= most)) {
    throw new MalformedError(`prefix "${text.slice(0, 64)}": length must be 0 to ${most}`)
  }
  if (!isZeroBeyond(addressBytes(address), length)) {
    throw new MalformedError(`prefix "${text}" has host bits set`)
  }
  return `${address}/${length}` as Prefix
}

function isZeroBeyond(bytes: Uint8Array, length: number): boolean {
  return bytes.every((byte, index) => {
    const kept = Math.max(0, Math.min(8, length - index * 8))
    return (byte & (0xff >> kept)) === 0
  })
}

/** The /32 or /128 of one address. */
export function hostPrefix(address: IpAddress): Prefix {
  return `${address}/${addressFamily(address) === 4 ? 32 : 128}` as Prefix
}

export function prefixAddress(prefix: Prefix): IpAddress {
  return prefix.slice(0, prefix.lastIndexOf('/')) as IpAddress
}

export function prefixLength(prefix: Prefix): number {
  return Number(prefix.slice(prefix.lastIndexOf('/') + 1))
}

export function isHostPrefix(prefix: Prefix): boolean {
  return prefixLength(prefix) === (addressFamily(prefix) === 4 ? 32 : 128)
}

/** 0.0.0.0/0 or ::/0. */
export function isDefaultPrefix(prefix: Prefix): boolean {
  return prefixLength(prefix) === 0
}

/** Is every address of `inner` in `outer`? */
export function prefixContains(outer: Prefix, inner: Prefix): boolean {
  const length = prefixLength(outer)
  if (addressFamily(outer) !== addressFamily(inner) || prefixLength(inner) < length) return false
  const a = addressBytes(prefixAddress(outer))
  const b = addressBytes(prefixAddress(inner))
  return isZeroBeyond(
    a
      .map((byte, index) => byte ^ (b[index] ?? 0))
      .map((byte, index) => maskTo(byte, index, length)),
    0,
  )
}

/** The prefix of so many bits that the address is in. */
export function networkOf(address: IpAddress, length: number): Prefix {
  const network = addressBytes(address).map((byte, index) => maskTo(byte, index, length))
  return `${addressFromBytes(network)}/${length}` as Prefix
}

/** Bytes whose bits are 1 inside of the prefix's length. */
export function prefixMask(prefix: Prefix): Uint8Array {
  const length = prefixLength(prefix)
  return addressBytes(prefixAddress(prefix)).map((_, index) => maskTo(0xff, index, length))
}

/** Keeps of an address or a difference only the bits inside the first `length`. */
function maskTo(byte: number, index: number, length: number): number {
  const kept = Math.max(0, Math.min(8, length - index * 8))
  return byte & (0xff << (8 - kept)) & 0xff
}

/** Do the two share an address? */
export function prefixesOverlap(a: Prefix, b: Prefix): boolean {
  return prefixContains(a, b) || prefixContains(b, a)
}

/** `192.0.2.1:51820` or `[2001:db8::1]:51820`. Throws MalformedError. */
export function parseEndpoint(text: string): Endpoint {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text)
  const port = Number(match?.[3])
  if (match === null || !(port >= 1 && port <= 65535)) {
    throw new MalformedError(`endpoint "${text.slice(0, 64)}", want address:port or [address]:port`)
  }
  const address = parseIpAddress(match[1] ?? match[2] ?? '')
  return { address, port }
}

export function formatEndpoint({ address, port }: Endpoint): string {
  return addressFamily(address) === 6 ? `[${address}]:${port}` : `${address}:${port}`
}

export function sameEndpoint(a: Endpoint | undefined, b: Endpoint | undefined): boolean {
  return a?.address === b?.address && a?.port === b?.port
}
