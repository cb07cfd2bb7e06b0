/** Announcements: what a gateway tells all hosts when it restarts or gets another address (RFC 6887 §14.1,
 *  RFC 6886 §3.2.1). */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import type { AddressFamily, IpAddress } from '../../../protocol/address.ts'
import type { Log } from '../../../protocol/log.ts'
import type { Seconds } from '../../../protocol/time.ts'
import type { Gateway } from '../../host/gateway.ts'
import { parsed } from './ask.ts'
import type { MappingProtocol } from './mapping.ts'
import { parseNatPmpResponse } from './nat-pmp.ts'
import { parsePcpResponse } from './pcp.ts'

/** The port of hosts; the groups are those of all of a network, of which every host is a member. */
const HOST_PORT = 5350

export interface Announcement {
  readonly protocol: MappingProtocol
  readonly epoch: Seconds
  readonly address?: IpAddress
}

/** Undefined where it is no announcement. */
export function readAnnouncement(bytes: Uint8Array): Announcement | undefined {
  if (bytes[0] === 0) {
    const told = parsed(parseNatPmpResponse, bytes)
    if (told?.kind !== 'address') return undefined
    return { protocol: 'nat-pmp', epoch: told.epoch, address: told.address }
  }
  const told = parsed(parsePcpResponse, bytes)
  return told?.kind === 'announce' ? { protocol: 'pcp', epoch: told.epoch } : undefined
}

/** Is it the gateway that speaks? Over IPv6 by whichever link-local address it has there.
 *  @param from as the system writes it, with the zone of a link-local address */
export function isOf(gateway: Gateway | undefined, from: string): boolean {
  const [address = '', zone] = from.split('%')
  if (gateway === undefined) return false
  return address === gateway.address || (zone !== undefined && zone === gateway.interfaceName)
}

/** Listens until disposed. Where the port can't be had nothing is heard: renewals find out later. */
export async function startAnnouncements(options: {
  readonly family: AddressFamily
  onAnnouncement(announcement: Announcement, from: string): void
  readonly log: Log
}): Promise<AsyncDisposable> {
  const { family, log } = options
  const socket = createSocket({
    type: family === 4 ? 'udp4' : 'udp6',
    reuseAddr: true,
    ipv6Only: family === 6,
  })
  socket.on('message', (datagram, { address }) => {
    const announcement = readAnnouncement(datagram)
    if (announcement === undefined) return
    options.onAnnouncement(announcement, address)
  })
  const close = async (): Promise<void> => {
    const closed = once(socket, 'close')
    socket.close()
    await closed
  }
  try {
    socket.bind(HOST_PORT)
    await once(socket, 'listening')
    socket.on('error', ({ message }) => log('debug', 'port-mapping.deaf', { reason: message }))
    return { [Symbol.asyncDispose]: close }
  } catch (error) {
    log('debug', 'port-mapping.deaf', { reason: String(error) })
    return { [Symbol.asyncDispose]: close }
  }
}
