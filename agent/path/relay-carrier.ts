/** Relay carrier: the loopback socket that is WireGuard's endpoint for one peer. What WireGuard sends
 *  there the agent carries; what came by the relay goes to WireGuard from there. */
import { createSocket } from 'node:dgram'
import { type Endpoint, type IpAddress, parseIpAddress } from '../../protocol/address.ts'
import type { Log } from '../../protocol/log.ts'
import { DATAGRAM_BYTES } from '../../protocol/relay.ts'

const LOOPBACK: IpAddress = parseIpAddress('127.0.0.1')
/** Bytes waiting for the kernel per peer; beyond them datagrams are dropped, as a full link does. */
const QUEUE_BYTES = 1 << 20
/** Bytes of the kernel's buffer: 700 full packets, some 20 ms of a fast relay. */
const RECEIVE_BYTES = 1 << 20

export interface RelayCarrier {
  /** The address of the socket, for WireGuard. */
  readonly endpoint: Endpoint
  /** To our WireGuard, as if it came from the peer. False: dropped, too large or the queue is full. */
  inject(datagram: Uint8Array): boolean
  close(): void
}

/** Binds a port of 127.0.0.1 before it returns. Only datagrams of WireGuard's port are handed on.
 *  Throws what the system says when there is no port left. */
export function openRelayCarrier(options: {
  listenPort: number
  onDatagram: (datagram: Uint8Array) => void
  log: Log
}): RelayCarrier {
  const socket = createSocket({
    type: 'udp4',
    recvBufferSize: RECEIVE_BYTES,
    // Without a look-up Node binds at once, and the port is known when this function returns.
    lookup: (_host, _options, callback) => callback(null, LOOPBACK, 4),
  })
  socket.on('error', (error) =>
    options.log('debug', 'relay-carrier.failed', { reason: error.message }),
  )
  socket.on('message', (datagram, { address, port }) => {
    if (port === options.listenPort && address === LOOPBACK) options.onDatagram(datagram)
  })
  socket.bind(0, LOOPBACK)
  const { port } = socket.address()
  return {
    endpoint: { address: LOOPBACK, port },
    inject: (datagram) => {
      if (datagram.length > DATAGRAM_BYTES || socket.getSendQueueSize() > QUEUE_BYTES) return false
      socket.send(datagram, options.listenPort, LOOPBACK)
      return true
    },
    close: () => void socket.close(),
  }
}
