/** Sockets of a round: each has a port of its own, and so a mapping of its own in the NAT. */
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { type AddressFamily, type Endpoint, parseIpAddress } from '../../../protocol/address.ts'

export interface SpraySocket {
  readonly port: number
  /** What the network does to it nobody tells. */
  send(datagram: Uint8Array, to: Endpoint): void
  close(): void
}

export interface SpraySockets {
  at(index: number): SpraySocket | undefined
  /** Closes all but this one, which is the caller's from now on. */
  keep(index: number): SpraySocket | undefined
  close(): void
}

/** Binds `count` ports of the system's choice. Throws where the host has no such family, or not so many ports or
 *  files; then none stays open. */
export async function openSpraySockets(
  family: AddressFamily,
  count: number,
  onDatagram: (index: number, datagram: Uint8Array, from: Endpoint) => void,
): Promise<SpraySockets> {
  const sockets = Array.from({ length: count }, () =>
    createSocket({ type: family === 4 ? 'udp4' : 'udp6', ipv6Only: family === 6 }),
  )
  const close = (): void => {
    for (const socket of sockets) closeQuietly(socket)
  }
  try {
    await Promise.all(sockets.map(bound))
  } catch (error) {
    close()
    throw error
  }
  const open = sockets.map((socket, index): SpraySocket => {
    socket.on('error', () => undefined)
    socket.on('message', (datagram, { address, port }) => {
      // A link-local address means nothing without its link.
      if (!address.includes('%'))
        onDatagram(index, datagram, { address: parseIpAddress(address), port })
    })
    return spraySocket(socket)
  })
  return {
    at: (index) => open[index],
    keep: (index) => {
      for (const [each, socket] of open.entries()) if (each !== index) socket.close()
      return open[index]
    },
    close,
  }
}

async function bound(socket: Socket): Promise<void> {
  socket.bind(0)
  await once(socket, 'listening')
}

function spraySocket(socket: Socket): SpraySocket {
  const { port } = socket.address()
  let isClosed = false
  return {
    port,
    send: (datagram, to) => {
      if (!isClosed) socket.send(datagram, to.port, to.address, () => undefined)
    },
    close: () => {
      isClosed = true
      closeQuietly(socket)
    },
  }
}

function closeQuietly(socket: Socket): void {
  try {
    socket.close()
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ERR_SOCKET_DGRAM_NOT_RUNNING')
      return
    throw error
  }
}
