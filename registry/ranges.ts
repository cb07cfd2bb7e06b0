/** The two ranges that an organization's devices have their addresses in: one of IPv4, one of IPv6.
 *  Organizations never meet, so their ranges may overlap. */
import { concat, utf8 } from '../crypto/bytes.ts'
import { sha256 } from '../crypto/hash.ts'
import {
  addressFamily,
  addressFromBytes,
  type Prefix,
  parsePrefix,
  prefixAddress,
  prefixContains,
  prefixLength,
} from '../protocol/address.ts'
import { MalformedError } from '../protocol/errors.ts'
import { ADDRESS_SPACE } from '../protocol/issuer-request.ts'
import type { OrganizationId } from '../protocol/keys.ts'
import { Refused } from './refusal.ts'

/** IPv4, then IPv6. */
export type Ranges = readonly [Prefix, Prefix]

/** What people ask for; absent: the standard one. */
export interface WantedRanges {
  readonly ipv4?: string | undefined
  readonly ipv6?: string | undefined
}

/** Shared address space (RFC 6598): it collides with no private network of a site. */
export const IPV4_RANGE = parsePrefix('100.64.0.0/10')
/** A range has room for 7 devices at least. Bits. */
const LONGEST = { 4: 29, 6: 125 } as const
/** Numbers are 1 to this at most: the 22 host bits of the standard range. */
const MOST_NUMBERS = 2 ** 22 - 1

const IPV6_CONTEXT = utf8('nexodus ipv6')

/** The second is a unique local prefix (RFC 4193 §3.2) whose global id follows from the organization's id. */
export function standardRanges(organization: OrganizationId): Ranges {
  const globalId = sha256(concat(IPV6_CONTEXT, utf8(organization))).subarray(0, 5)
  const network = concat(Uint8Array.of(0xfd), globalId, new Uint8Array(10))
  return [IPV4_RANGE, parsePrefix(`${addressFromBytes(network)}/48`)]
}

/** Addresses that the ranges can give to devices: a device has one of each. */
export function highestNumberOf([ipv4, ipv6]: Ranges): number {
  const bits = Math.min(32 - prefixLength(ipv4), 128 - prefixLength(ipv6))
  return Math.min(2 ** bits - 1, MOST_NUMBERS)
}

/** Throws Refused (range-invalid) that names the field, the limit and the value. */
export function parseRanges(organization: OrganizationId, { ipv4, ipv6 }: WantedRanges): Ranges {
  const [standard4, standard6] = standardRanges(organization)
  return [
    ipv4 === undefined ? standard4 : parseRange('ipv4Range', 4, ipv4),
    ipv6 === undefined ? standard6 : parseRange('ipv6Range', 6, ipv6),
  ]
}

function parseRange(field: string, family: 4 | 6, text: string): Prefix {
  const refuse = (why: string) => new Refused('range-invalid', `${field}: ${why}`, { field })
  const range = prefixOf(text, refuse)
  if (addressFamily(prefixAddress(range)) !== family) {
    throw refuse(`${range} is no IPv${family} prefix`)
  }
  if (prefixLength(range) > LONGEST[family]) {
    throw refuse(`${range} is too small: at most /${LONGEST[family]}`)
  }
  if (!ADDRESS_SPACE.some((space) => prefixContains(space, range))) {
    const spaces = ADDRESS_SPACE.filter((space) => addressFamily(prefixAddress(space)) === family)
    throw refuse(
      `${range} is not private: other networks have these addresses (choose in ${spaces.join(', ')})`,
    )
  }
  return range
}

function prefixOf(text: string, refuse: (why: string) => Refused): Prefix {
  try {
    return parsePrefix(text)
  } catch (error) {
    throw error instanceof MalformedError ? refuse(error.message) : error
  }
}
