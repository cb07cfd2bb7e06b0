/** Address range: all addresses of one family from a first to a last one, as policy rules name them. */
import ipaddr from 'ipaddr.js'
import {
  type AddressFamily,
  addressBytes,
  addressFamily,
  type IpAddress,
  type Prefix,
  parseIpAddress,
  parsePrefix,
  prefixAddress,
  prefixLength,
} from './address.ts'
import { MalformedError } from './errors.ts'

export interface AddressRange {
  readonly family: AddressFamily
  /** An address as a number: its bytes in network order. */
  readonly first: bigint
  /** Not below `first`. */
  readonly last: bigint
}

/** The bytes in network order, as one number. */
export function addressNumber(address: IpAddress): bigint {
  return addressBytes(address).reduce((number, byte) => (number << 8n) | BigInt(byte), 0n)
}

/** Text as RFC 5952 has it, also of an IPv4-mapped IPv6 address. */
export function numberText(family: AddressFamily, number: bigint): string {
  const count = family === 4 ? 4 : 16
  const bytes = Array.from({ length: count }, (_, index) =>
    Number((number >> BigInt(8 * (count - 1 - index))) & 0xffn),
  )
  const parsed = ipaddr.fromByteArray(bytes)
  return parsed instanceof ipaddr.IPv6 ? parsed.toRFC5952String() : parsed.toString()
}

/** The highest address of a family. */
export function lastAddress(family: AddressFamily): bigint {
  return (1n << (family === 4 ? 32n : 128n)) - 1n
}

export function prefixRange(prefix: Prefix): AddressRange {
  const family = addressFamily(prefix)
  const first = addressNumber(prefixAddress(prefix))
  const hostBits = BigInt((family === 4 ? 32 : 128) - prefixLength(prefix))
  return { family, first, last: first | ((1n << hostBits) - 1n) }
}

/** `100.64.0.0/10`, `fd00::7`, or `100.64.0.1-100.64.0.9`. Throws MalformedError. */
export function parseAddressRange(text: string): AddressRange {
  const [firstText = '', lastText, extra] = text.slice(0, 128).split('-')
  if (lastText === undefined) return prefixRange(parsePrefix(text.trim()))
  const [first, last] = [parseIpAddress(firstText.trim()), parseIpAddress(lastText.trim())]
  const family = addressFamily(first)
  if (extra !== undefined || family !== addressFamily(last)) {
    throw new MalformedError(`IP range "${text.slice(0, 128)}": want two addresses of one family`)
  }
  const range = { family, first: addressNumber(first), last: addressNumber(last) }
  if (range.first <= range.last) return range
  throw new MalformedError(`IP range "${text}": its first address is after its last`)
}

/** The only text of a range: an address, else a prefix, else two addresses. */
export function formatAddressRange({ family, first, last }: AddressRange): string {
  const size = last - first + 1n
  const firstText = numberText(family, first)
  if (size === 1n) return firstText
  const isPrefix = (size & (size - 1n)) === 0n && first % size === 0n
  if (!isPrefix) return `${firstText}-${numberText(family, last)}`
  return `${firstText}/${(family === 4 ? 32 : 128) - (size.toString(2).length - 1)}`
}

export function rangeContains(range: AddressRange, address: IpAddress): boolean {
  if (addressFamily(address) !== range.family) return false
  const number = addressNumber(address)
  return range.first <= number && number <= range.last
}

/** The range with this address; undefined where it is in none. @param sorted none overlapping another */
export function rangeAt<R extends Pick<AddressRange, 'first' | 'last'>>(
  sorted: readonly R[],
  address: bigint,
): R | undefined {
  let [low, high] = [0, sorted.length - 1]
  while (low <= high) {
    const middle = (low + high) >> 1
    const range = sorted[middle]
    if (range === undefined) return undefined
    if (address < range.first) high = middle - 1
    else if (address > range.last) low = middle + 1
    else return range
  }
  return undefined
}
