/** Route alias: the prefix by which a device sends what it still answers for a prefix that others are leaving it for: so
 *  WireGuard, which takes a source from one peer alone, can tell its last packets from the next holder's (SPEC §8.9). */
import { concat, utf8 } from '../crypto/bytes.ts'
import { sha256 } from '../crypto/hash.ts'
import { addressFamily, addressFromBytes, networkOf, type Prefix, prefixLength } from './address.ts'
import { type DeviceId, deviceKeyOf } from './keys.ts'

export interface Alias {
  readonly alias: Prefix
  readonly prefix: Prefix
}

const CONTEXT = utf8('nexodus route alias\n')
/** Bits that a prefix must have at least: fewer would leave too few of the hash. */
const LEAST_BITS = { 4: 16, 6: 24 } as const

/** Of the same length. IPv4's is in 240.0.0.0/4, which nobody uses (RFC 1112 §4), IPv6's in fc00::/8, which nobody may
 *  assign (RFC 4193 §3.2). Undefined: the prefix is too wide. */
export function routeAlias(device: DeviceId, prefix: Prefix): Prefix | undefined {
  const family = addressFamily(prefix)
  const length = prefixLength(prefix)
  if (length < LEAST_BITS[family]) return undefined
  const hash = sha256(CONTEXT, deviceKeyOf(device), utf8(prefix))
  const bytes =
    family === 4
      ? concat(Uint8Array.of(0xf0 | (hash[0] ?? 0)), hash.subarray(1, 4))
      : concat(Uint8Array.of(0xfc), hash.subarray(1, 16))
  return networkOf(addressFromBytes(bytes), length)
}

/** Does it lie where aliases do? Of canonical text. */
export function isAmongAliases(prefix: Prefix): boolean {
  return /^(?:2[45]\d\.|fc[0-9a-f]{2}:)/.test(prefix)
}
