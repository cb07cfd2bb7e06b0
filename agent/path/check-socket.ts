/** Check socket: the agent's UDP sockets, whose packets leave by WireGuard's port and whose STUN arrives
 *  by it (agent/host/port-share.ts). */
import { createSocket, type Socket, type SocketType } from 'node:dgram'
import { once } from 'node:events'
import {
  addressFamily,
  type Endpoint,
  type IpAddress,
  parseIpAddress,
} from '../../protocol/address.ts'
import { MalformedError } from '../../protocol/errors.ts'
import type { Log } from '../../protocol/log.ts'
import { noLookup } from '../host/no-lookup.ts'

/** Bytes waiting for the kernel; beyond them datagrams are dropped, as a full link does. */
const QUEUE_BYTES = 1 << 20

/** The port for checks can't be had; the message says why and what to do. */
export class CheckPortError extends Error {
  override readonly name = 'CheckPortError'
  readonly code = 'ERR_CHECK_PORT'
}

export interface CheckSocket {
  /** False: no such family here, or the queue is full. What the network drops nobody tells. */
  send(datagram: Uint8Array, to: Endpoint): boolean
  close(): Promise<void>
}

/** Binds UDP `port` of IPv4 and, where the host has it, IPv6. Throws CheckPortError. */
export async function openCheckSocket(options: {
  readonly port: number
  onDatagram(datagram: Uint8Array, from: Endpoint): void
  /** Something is on its way. */
  onSent?(to: Endpoint): void
  readonly log: Log
}): Promise<CheckSocket> {
  const v4 = await bound('udp4', '0.0.0.0', options)
  let v6: Socket | undefined
  try {
    v6 = await bound('udp6', '::', options)
  } catch (error) {
    if (!isWithoutIpv6(error)) {
      v4.close()
      throw error
    }
  }
  return {
    send: (datagram, to) => {
      const { address, port } = to
      const socket = addressFamily(address) === 4 ? v4 : v6
      if (socket === undefined || port === 0 || socket.getSendQueueSize() > QUEUE_BYTES)
        return false
      // Unreachable networks and full buffers are what checks are there to find out.
      socket.send(datagram, port, address, () => undefined)
      options.onSent?.(to)
      return true
    },
    close: async () => {
      const sockets = v6 === undefined ? [v4] : [v4, v6]
      const closed = sockets.map((socket) => once(socket, 'close'))
      for (const socket of sockets) socket.close()
      await Promise.all(closed)
    },
  }
}

async function bound(
  type: SocketType,
  address: string,
  { port, onDatagram, log }: Parameters<typeof openCheckSocket>[0],
): Promise<Socket> {
  const family = type === 'udp6' ? 6 : 4
  const socket = createSocket({
    type,
    ipv6Only: family === 6,
    lookup: noLookup(family),
  })
  socket.on('message', (datagram, source) => {
    const from = sourceOf(source)
    if (from !== undefined) onDatagram(datagram, from)
  })
  try {
    const listening = once(socket, 'listening')
    socket.bind(port, address)
    await listening
  } catch (cause) {
    socket.close()
    throw new CheckPortError(
      `cannot bind UDP port ${port} for connectivity checks (stop what has it, or choose another WireGuard port with --listen-port)`,
      { cause },
    )
  }
  socket.on('error', (error) => log('debug', 'check-socket.failed', { reason: error.message }))
  return socket
}

function isWithoutIpv6(error: unknown): boolean {
  const cause = error instanceof CheckPortError ? error.cause : undefined
  if (!(cause instanceof Error && 'code' in cause)) return false
  return cause.code === 'EAFNOSUPPORT' || cause.code === 'EADDRNOTAVAIL'
}

/** Undefined for a link-local address: it means nothing without its link; and for port 0, to which nothing can be sent. */
export function sourceOf({
  address,
  port,
}: {
  address: string
  port: number
}): Endpoint | undefined {
  if (port === 0) return undefined
  try {
    const parsed: IpAddress = parseIpAddress(address)
    return { address: parsed, port }
  } catch (error) {
    if (error instanceof MalformedError) return undefined
    throw error
  }
}
