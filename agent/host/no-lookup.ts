/** No look-up: for UDP sockets that are given addresses, never names. Node's own compiles a pattern that takes 3 ms of a
 *  start, and puts off every datagram; without it Node binds, and says so, before `bind` returns. */
import type { SocketOptions } from 'node:dgram'
import type { AddressFamily } from '../../protocol/address.ts'

export function noLookup(family: AddressFamily): NonNullable<SocketOptions['lookup']> {
  return (address, _options, callback) => callback(null, address, family)
}
