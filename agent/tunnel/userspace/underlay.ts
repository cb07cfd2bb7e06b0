/** Underlay: the network outside the tunnel, as WireGuard, connectivity checks and relays share it: one UDP port, of
 *  IPv4 and, where the host has it, IPv6. */
import { createSocket, type RemoteInfo, type Socket, type SocketType } from 'node:dgram'
import { once } from 'node:events'
import { setImmediate } from 'node:timers'
import { addressFamily, type Endpoint, parseIpAddress } from '../../../protocol/address.ts'
import { MalformedError } from '../../../protocol/errors.ts'
import type { Log } from '../../../protocol/log.ts'
import { noLookup } from '../../host/no-lookup.ts'
import type { Datagram } from './bunch.ts'
import { Outbound } from './outbound.ts'
import { segmentationOf } from './segmentation.ts'

export interface Underlay extends AsyncDisposable {
  readonly port: number
  /** In parts, which must not change from now on. False: no such family here, or too much waits already. What the
   *  network drops nobody tells. They leave at the end of the event loop's turn, those to one endpoint together. */
  send(datagram: Datagram, to: Endpoint): boolean
}

export interface UnderlayOptions {
  /** 0: any that is free. */
  readonly port: number
  /** The datagram belongs to the receiver. */
  onDatagram(datagram: Uint8Array, from: Endpoint): void
  readonly log: Log
}

/** Binds the port. Throws what the system says where it is taken. */
export type OpenUnderlay = (options: UnderlayOptions) => Promise<Underlay>

/** Bytes that the kernel is asked to keep until we read them; it gives at most net.core.rmem_max. */
const KERNEL_BYTES = 4 << 20
/** Sources whose addresses are kept parsed: some 200 bytes each. */
const KEPT_SOURCES = 4096

export const openUnderlay: OpenUnderlay = async (options) => {
  const v4 = await bound('udp4', '0.0.0.0', options.port, options)
  const { port } = v4.address()
  let v6: Socket | undefined
  try {
    v6 = await bound('udp6', '::', port, options)
  } catch (error) {
    if (!isWithoutIpv6(error)) {
      v4.close()
      throw error
    }
  }
  const outbound4 = await outboundOf(v4, options.log)
  const outbound6 = v6 && (await outboundOf(v6, options.log))
  return {
    port,
    send: (datagram, to) => {
      const outbound = addressFamily(to.address) === 4 ? outbound4 : outbound6
      return outbound !== undefined && to.port !== 0 && outbound.send(datagram, to)
    },
    async [Symbol.asyncDispose]() {
      outbound4.flush()
      outbound6?.flush()
      const sockets = v6 === undefined ? [v4] : [v4, v6]
      const closed = sockets.map((socket) => once(socket, 'close'))
      for (const socket of sockets) socket.close()
      await Promise.all(closed)
    },
  }
}

async function outboundOf(socket: Socket, log: Log): Promise<Outbound> {
  return new Outbound({
    socket,
    segmentation: await segmentationOf(socket.address()),
    defer: (task) => void setImmediate(task),
    failed: sayFailed(log),
  })
}

async function bound(
  type: SocketType,
  address: string,
  port: number,
  { onDatagram, log }: UnderlayOptions,
): Promise<Socket> {
  const socket = createSocket({
    type,
    ipv6Only: type === 'udp6',
    recvBufferSize: KERNEL_BYTES,
    sendBufferSize: KERNEL_BYTES,
    lookup: noLookup(type === 'udp6' ? 6 : 4),
  })
  const sourceOf = sources()
  socket.on('message', (datagram, source) => {
    const from = sourceOf(source)
    if (from !== undefined) onDatagram(datagram, from)
  })
  try {
    const listening = once(socket, 'listening')
    socket.bind(port, address)
    await listening
  } catch (error) {
    socket.close()
    throw error
  }
  socket.on('error', sayFailed(log))
  return socket
}

/** Parses a source once, not for each of its datagrams. Undefined for port 0 and link-local addresses, to which
 *  nothing can be sent. */
function sources(): (source: RemoteInfo) => Endpoint | undefined {
  const known = new Map<string, Endpoint>()
  let last: { readonly source: RemoteInfo; readonly endpoint: Endpoint } | undefined
  return (source) => {
    if (last?.source.address === source.address && last.source.port === source.port) {
      return last.endpoint
    }
    const key = `${source.address} ${source.port}`
    const endpoint = known.get(key) ?? parsedSource(source)
    if (endpoint === undefined) return undefined
    if (known.size >= KEPT_SOURCES) known.clear()
    known.set(key, endpoint)
    last = { source, endpoint }
    return endpoint
  }
}

function parsedSource({ address, port }: RemoteInfo): Endpoint | undefined {
  if (port === 0) return undefined
  try {
    return { address: parseIpAddress(address), port }
  } catch (error) {
    if (error instanceof MalformedError) return undefined
    throw error
  }
}

function isWithoutIpv6(error: unknown): boolean {
  if (!(error instanceof Error && 'code' in error)) return false
  return error.code === 'EAFNOSUPPORT' || error.code === 'EADDRNOTAVAIL'
}

function sayFailed(log: Log): (error: Error) => void {
  return (error) => log('debug', 'underlay.failed', { reason: error.message })
}
