/** Is an address one of the internet? Neither private nor shared by a carrier, nor special (RFC 6890). */
import ipaddr from 'ipaddr.js'
import type { IpAddress } from '../../../protocol/address.ts'

export function isOfInternet(address: IpAddress): boolean {
  return ipaddr.parse(address).range() === 'unicast'
}
