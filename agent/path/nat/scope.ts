/** Scope: how far out an address means something. */
import ipaddr from 'ipaddr.js'
import { addressBytes, addressFamily, type IpAddress } from '../../../protocol/address.ts'

/** `shared`: between a carrier's NAT and its customers (RFC 6598). */
export type Scope = 'private' | 'shared' | 'global'

const PRIVATE_RANGES = ['private', 'uniqueLocal', 'linkLocal', 'loopback']

export function scopeOf(address: IpAddress): Scope {
  const range = ipaddr.parse(address).range()
  if (PRIVATE_RANGES.includes(range)) return 'private'
  return range === 'carrierGradeNat' ? 'shared' : 'global'
}

/** Bytes that the addresses of one site have in common: a site's IPv6 prefix is at least a /48 (RFC 6177). */
const SITE_BYTES = { 4: 3, 6: 6 } as const

/** May the two be neighbours, with no NAT or firewall between them? */
export function isNear(a: IpAddress, b: IpAddress): boolean {
  const family = addressFamily(a)
  if (family !== addressFamily(b)) return false
  const [left, right] = [addressBytes(a), addressBytes(b)]
  return left.subarray(0, SITE_BYTES[family]).every((byte, index) => byte === right[index])
}
