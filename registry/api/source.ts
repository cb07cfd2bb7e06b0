/** One asker, as limits count them. */
import { toHex } from '../../crypto/bytes.ts'
import { addressBytes, parseIpAddress } from '../../protocol/address.ts'

/** An IPv4 address, or the /64 that a host may choose its IPv6 addresses from. Hex. */
export function sourceOf(address: string): string {
  if (address === 'unknown') return address
  const bytes = addressBytes(parseIpAddress(address.replace(/%.*$/, '')))
  return toHex(bytes.subarray(0, bytes.length === 4 ? 4 : 8))
}
