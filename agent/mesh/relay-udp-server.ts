/** Relay UDP server: the sockets of a member that relays, at the number of its mesh's TCP port. */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { isIPv6 } from 'node:net'
import type { Log } from '../../protocol/log.ts'
import { isForRelay } from '../../protocol/relay-attach.ts'
import type { UdpRoute } from '../../protocol/relay-udp-session.ts'
import { hostOf, parseMultiaddr, tcpPortOf } from './multiaddrs.ts'
import type { MeshNode } from './node.ts'
import type { RelayServer } from './relay-server.ts'

/** Bytes waiting for the kernel; beyond them datagrams are dropped, as a full link does. */
const QUEUE_BYTES = 1 << 22
/** Bytes of the kernel's buffers, where it allows so many: a burst of all members at once. */
const BUFFER_BYTES = 1 << 22

export interface RelayUdpServer {
  /** At least one address is served. */
  isOpen(): boolean
  /** Harmless when repeated. */
  close(): Promise<void>
}

/** UDP beside the mesh's first TCP port, on the same addresses. Undefined where it relays nothing, or
 *  listens on none. */
export async function serveRelayUdp(
  { node }: MeshNode,
  server: RelayServer,
  {
    relayServer,
    listen,
    log,
  }: { readonly relayServer: boolean; readonly listen: readonly string[]; readonly log: Log },
): Promise<RelayUdpServer | undefined> {
  if (!relayServer) return undefined
  const addresses = listen.flatMap((text) => parseMultiaddr(text) ?? [])
  const [first] = addresses.flatMap((address) => tcpPortOf(address) ?? [])
  // Port 0 let the system choose.
  const port = first === 0 ? node.getMultiaddrs().map(tcpPortOf).find(Boolean) : first
  if (port === undefined) return undefined
  const hosts = addresses
    .filter((address) => tcpPortOf(address) === first)
    .flatMap((address) => hostOf(address)?.host ?? [])
  const onDatagram = server.receiveUdp.bind(server)
  const udp = await openRelayUdpServer({ hosts, port, onDatagram, log })
  if (udp.isOpen()) server.offerUdp(port)
  return udp
}

/** Binds `port` of every host that can be had. What can't is logged: the relay serves TCP alone there. */
export async function openRelayUdpServer(options: {
  readonly hosts: readonly string[]
  readonly port: number
  onDatagram(bytes: Uint8Array, route: UdpRoute): void
  readonly log: Log
}): Promise<RelayUdpServer> {
  const { hosts, port, log, onDatagram } = options
  const sockets: Socket[] = []
  for (const host of new Set(hosts)) {
    const socket = createSocket({
      type: isIPv6(host) ? 'udp6' : 'udp4',
      ipv6Only: isIPv6(host),
      recvBufferSize: BUFFER_BYTES,
      sendBufferSize: BUFFER_BYTES,
    })
    try {
      socket.bind(port, host)
      await once(socket, 'listening')
    } catch (error) {
      socket.close()
      const hint = 'relayed datagrams go by TCP here'
      log('warn', 'relay.udp-not-served', { host, port, reason: String(error), hint })
      continue
    }
    socket.on('error', (error) => log('debug', 'relay.udp-failed', { reason: error.message }))
    socket.on('message', (bytes, from) => {
      if (isForRelay(bytes)) onDatagram(bytes, routeTo(socket, from))
    })
    sockets.push(socket)
  }
  return {
    isOpen: () => sockets.length > 0,
    close: async () => {
      const open = sockets.splice(0)
      const closed = open.map((socket) => once(socket, 'close'))
      for (const socket of open) socket.close()
      await Promise.all(closed)
    },
  }
}

/** Not where it was closed meanwhile. */
function hasRoom(socket: Socket): boolean {
  try {
    return socket.getSendQueueSize() <= QUEUE_BYTES
  } catch {
    return false
  }
}

function routeTo(socket: Socket, { address, port, family }: RemoteInfo): UdpRoute {
  return {
    name: `${family} ${address} ${port}`,
    send: (bytes) => {
      if (port === 0 || !hasRoom(socket)) return
      socket.send(bytes, port, address, () => undefined)
    },
  }
}
