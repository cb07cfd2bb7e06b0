/** Sockets of a round: each has a port of its own, and so a mapping of its own in the NAT. */
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { type AddressFamily, type Endpoint, parseIpAddress } from '../../../protocol/address.ts'

export interface SpraySocket {
  readonly port: number
  /** At first the round's. */
  onDatagram: (datagram: Uint8Array, from: Endpoint) => void
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

/** Bytes that wait to be sent; more are dropped, as by any queue. */
const QUEUED_BYTES = 4 << 20

/** Binds `count` ports of the system's choice. Throws where the host has no such family, or not so many ports or
 *  files; then none stays open. */
export async function openSpraySockets(
  family: AddressFamily,
  count: number,
  onDatagram: (index: number, datagram: Uint8Array, from: Endpoint) => void,
): Promise<SpraySockets> {
  const sockets = Array.from({ length: count }, (_, index) =>
    spraySocket(family, (datagram, from) => onDatagram(index, datagram, from)),
  )
  let kept: number | undefined
  const close = (): void => {
    for (const [index, socket] of sockets.entries()) if (index !== kept) socket.close()
  }
  try {
    await Promise.all(sockets.map(({ socket }) => bound(socket)))
  } catch (error) {
    close()
    throw error
  }
  return {
    at: (index) => sockets[index],
    keep: (index) => {
      kept = index
      close()
      return sockets[index]
    },
    close,
  }
}

async function bound(socket: Socket): Promise<void> {
  socket.bind(0)
  await once(socket, 'listening')
}

function spraySocket(
  family: AddressFamily,
  onDatagram: SpraySocket['onDatagram'],
): SpraySocket & { readonly socket: Socket } {
  const socket = createSocket({ type: family === 4 ? 'udp4' : 'udp6', ipv6Only: family === 6 })
  socket.on('error', () => undefined)
  socket.on('message', (datagram, { address, port }) => {
    // A link-local address means nothing without its link.
    if (!address.includes('%')) {
      one.onDatagram(datagram, { address: parseIpAddress(address), port })
    }
  })
  let isClosed = false
  const one: SpraySocket & { readonly socket: Socket } = {
    socket,
    onDatagram,
    get port() {
      return socket.address().port
    },
    send: (datagram, to) => {
      if (isClosed || socket.getSendQueueSize() > QUEUED_BYTES) return
      socket.send(datagram, to.port, to.address, () => undefined)
    },
    close: () => {
      if (!isClosed) socket.close()
      isClosed = true
    },
  }
  return one
}
