/** Usable addresses: where connectivity checks may go and come from, whoever says so. */
import ipaddr from 'ipaddr.js'
import type { IpAddress } from '../../protocol/address.ts'

/** One packet to these would reach many hosts, or means something else on every host. */
const NEVER = ['multicast', 'broadcast', 'unspecified', 'linkLocal']

/** Is it one host's address, that means the same elsewhere? Loopback is not. */
export function isUsable(address: IpAddress): boolean {
  return isOneHost(address) && !isLoopback(address)
}

/** May a member be checked there? Loopback only by a host without any other address: else members could have
 *  the host's own services spoken to. @param isAlone it has no other address */
export function mayBeChecked(address: IpAddress, isAlone: boolean): boolean {
  return isOneHost(address) && (isAlone || !isLoopback(address))
}

function isLoopback(address: IpAddress): boolean {
  return ipaddr.parse(address).range() === 'loopback'
}

function isOneHost(address: IpAddress): boolean {
  const parsed = ipaddr.parse(address)
  // Class E (RFC 1112 §4) is among what ipaddr.js calls reserved, as are the addresses of documentation.
  if (parsed instanceof ipaddr.IPv4 && (parsed.octets[0] ?? 0) >= 240) return false
  return !NEVER.includes(parsed.range())
}
