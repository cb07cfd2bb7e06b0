/** Relay carrier: the loopback socket that is WireGuard's endpoint for one peer. What WireGuard sends
 *  there the agent carries; what came by the relay goes to WireGuard from there. */
import { createSocket, type Socket } from 'node:dgram'
import {
  type AddressFamily,
  type Endpoint,
  type IpAddress,
  parseIpAddress,
} from '../../protocol/address.ts'
import type { Log } from '../../protocol/log.ts'
import { DATAGRAM_BYTES } from '../../protocol/relay.ts'
import { explain } from '../errors.ts'
import { noLookup } from '../host/no-lookup.ts'

const LOOPBACK: IpAddress = parseIpAddress('127.0.0.1')
const LOOPBACKS = { 4: LOOPBACK, 6: parseIpAddress('::1') } as const
/** Bytes waiting for the kernel per peer; beyond them datagrams are dropped, as a full link does. */
const QUEUE_BYTES = 1 << 20
/** Bytes of the kernel's buffer: 700 full packets, some 20 ms of a fast relay. */
const RECEIVE_BYTES = 1 << 20

export interface RelayCarrier {
  /** The address of the socket, for WireGuard; IPv4. */
  readonly endpoint: Endpoint
  /** The same by a family. That of IPv6 is made when it is first asked for; undefined where the host has none. */
  endpointOf(family: AddressFamily): Endpoint | undefined
  /** To our WireGuard, as if it came from the peer. False: dropped, too large or the queue is full. */
  inject(datagram: Uint8Array): boolean
  close(): void
}

interface CarrierOptions {
  listenPort: number
  onDatagram: (datagram: Uint8Array) => void
  log: Log
}

/** Binds a port of 127.0.0.1 before it returns. Only datagrams of WireGuard's port are handed on.
 *  Throws what the system says when there is no port left. */
export function openRelayCarrier(options: CarrierOptions): RelayCarrier {
  const { socket, endpoint } = bindLoopback(4, options)
  let ipv6: ReturnType<typeof bindLoopback> | undefined
  let isClosed = false
  return {
    endpoint,
    endpointOf: (family) => {
      if (family === 4) return endpoint
      if (isClosed) return undefined
      try {
        ipv6 ??= bindLoopback(6, options)
      } catch (error) {
        options.log('debug', 'relay-carrier.failed', { reason: explain(error) })
      }
      return ipv6?.endpoint
    },
    inject: (datagram) => {
      if (datagram.length > DATAGRAM_BYTES || socket.getSendQueueSize() > QUEUE_BYTES) return false
      socket.send(datagram, options.listenPort, LOOPBACK)
      return true
    },
    close: () => {
      isClosed = true
      socket.close()
      ipv6?.socket.close()
    },
  }
}

interface Bound {
  readonly socket: Socket
  readonly endpoint: Endpoint
}

/** The system may give WireGuard's own port, which WireGuard takes only when its peers are known: then another. */
function bindLoopback(family: AddressFamily, options: CarrierOptions): Bound {
  const bound = bindAny(family, options)
  if (bound.endpoint.port !== options.listenPort) return bound
  try {
    return bindAny(family, options)
  } finally {
    bound.socket.close()
  }
}

function bindAny(family: AddressFamily, { listenPort, onDatagram, log }: CarrierOptions): Bound {
  const loopback = LOOPBACKS[family]
  const socket = createSocket({
    type: `udp${family}`,
    recvBufferSize: RECEIVE_BYTES,
    // So that the port is known when this function returns.
    lookup: noLookup(family),
  })
  socket.on('error', (error) => log('debug', 'relay-carrier.failed', { reason: error.message }))
  socket.on('message', (datagram, { address, port }) => {
    if (port === listenPort && address === loopback) onDatagram(datagram)
  })
  socket.bind(0, loopback)
  return { socket, endpoint: { address: loopback, port: socket.address().port } }
}
