/** Probe socket: a UDP socket of its own port, for what WireGuard's port can't find out about the NAT. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import {
  type AddressFamily,
  type Endpoint,
  formatEndpoint,
  parseIpAddress,
} from '../../../protocol/address.ts'

export interface ProbeSocket {
  send(datagram: Uint8Array, to: Endpoint): void
  close(): void
}

/** Throws where the host has no such family or no port left. Hears `from` alone. */
export async function openProbeSocket(
  family: AddressFamily,
  from: Endpoint,
  onDatagram: (datagram: Uint8Array) => void,
): Promise<ProbeSocket> {
  const socket =
    family === 4 ? createSocket('udp4') : createSocket({ type: 'udp6', ipv6Only: true })
  socket.bind(0)
  try {
    await once(socket, 'listening')
  } catch (error) {
    socket.close()
    throw error
  }
  let isClosed = false
  socket.on('error', () => undefined)
  socket.on('message', (datagram, { address, port }) => {
    const source = { address: parseIpAddress(address.replace(/%.*$/, '')), port }
    if (formatEndpoint(source) === formatEndpoint(from)) onDatagram(datagram)
  })
  return {
    send: (datagram, to) => {
      // What the network does to it is what is to be found out.
      if (!isClosed) socket.send(datagram, to.port, to.address, () => undefined)
    },
    close: () => {
      if (!isClosed) socket.close()
      isClosed = true
    },
  }
}
