/** Shared sockets: where WireGuard runs in this process, checks and relays have its own socket, and no port is
 *  rewritten. */
import { addressFromBytes, type Endpoint, sameEndpoint } from '../../protocol/address.ts'
import { DATAGRAM_BYTES } from '../../protocol/relay.ts'
import { isStun } from '../../protocol/stun.ts'
import type { SharedPort } from '../tunnel/userspace/shared-port.ts'
import type { PathSockets } from './paths.ts'
import type { SprayHost } from './spray/found-paths.ts'

/** 100::/64 is discarded by every router (RFC 6666): no peer's address is in it. */
const INSIDE = Uint8Array.of(0x01, ...new Uint8Array(15))
const INSIDE_PORT = 1

export function sharedSockets(port: SharedPort): PathSockets {
  let carriers = 0
  return {
    openCheckSocket: async ({ onDatagram, onSent }) => {
      port.onOther = (datagram, from) => {
        if (isStun(datagram)) onDatagram(datagram, from)
      }
      return {
        send: (datagram, to) => {
          const isSent = port.sendOther(datagram, to)
          if (isSent) onSent?.(to)
          return isSent
        },
        close: async () => {
          port.onOther = () => undefined
        },
      }
    },
    openRelayCarrier: ({ onDatagram }) => {
      carriers += 1
      const endpoint = insideEndpoint(carriers)
      let isOpen = true
      // Not at once: whoever gave WireGuard a packet or a datagram has not ended its own turn yet.
      port.divert(endpoint.address, (datagram) =>
        queueMicrotask(() => {
          if (isOpen) onDatagram(datagram)
        }),
      )
      return {
        endpoint,
        endpointOf: () => endpoint,
        inject: (datagram) => {
          if (datagram.length > DATAGRAM_BYTES) return false
          port.inject(datagram, endpoint)
          return true
        },
        close: () => {
          isOpen = false
          port.undivert(endpoint.address)
        },
      }
    },
  }
}

/** Where a round of spraying has found a path, all that goes to its end leaves by the socket that met it. */
export function sharedSprayHost(port: SharedPort): SprayHost {
  return {
    divert: async (remote, socket) => {
      socket.onDatagram = (datagram, from) => {
        if (sameEndpoint(from, remote)) port.arrived(datagram, from)
      }
      port.divertEndpoint(remote, (datagram) => socket.send(datagram, remote))
    },
    restore: async (remote) => port.divertEndpoint(remote, undefined),
  }
}

function insideEndpoint(number: number): Endpoint {
  const bytes = Uint8Array.from(INSIDE)
  new DataView(bytes.buffer).setUint32(12, number)
  return { address: addressFromBytes(bytes), port: INSIDE_PORT }
}
