/** UDP ports: a flow for each source, with a socket of its own towards its backend, until it falls silent. */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { lookup } from 'node:dns/promises'
import { once } from 'node:events'
import { isIP } from 'node:net'
import { type Endpoint, formatEndpoint, parseIpAddress } from '../../protocol/address.ts'
import { SocketError } from '../stack/socket-error.ts'
import type { UdpMessage } from '../stack/udp-sockets.ts'
import { FlowTable } from './flow-table.ts'
import { foundAddresses } from './mesh-view.ts'
import type { PortOptions } from './proxy-parts.ts'
import type { ProxyRule } from './proxy-rule.ts'

/** Datagrams that wait until their flow has a socket. */
const WAITING = 16
/** Milliseconds between looks for flows that fell silent. */
const SWEEP_MS = 5000
/** Bytes: many sources share the port's own buffer. */
const BUFFER_BYTES = 4 * 1024 * 1024

/** Towards the backend of one source. */
interface Flow {
  send(data: Uint8Array): void
  close(): void
}

/** A port of this device in the mesh, to a host of the local network. */
export function startUdpIngress(options: PortOptions): AsyncDisposable {
  const { parts, choice, port } = options
  const flows = flowsOf(`ingress udp mesh port ${port}`, parts)
  const socket = parts.stack.bindUdp(port, (message) => {
    const nowMs = parts.clock.monotonicMs()
    const key = keyOf(message)
    const known = flows.heard(key, nowMs)
    if (known !== undefined) return known.send(message.data)
    if (!flows.hasRoom(message.remote.address, nowMs)) return
    const [rule] = choice.next()
    if (rule === undefined) return
    const flow = localFlow(rule, {
      onMessage: (data) => {
        if (flows.heard(key, parts.clock.monotonicMs()) === undefined) return
        attempt(() => socket.send(data, message.remote, message.local))
      },
      onError: (error) => {
        choice.dead(rule, error)
        flows.end(key)
        attempt(() => socket.refuse(message))
      },
    })
    flows.add(key, message.remote.address, flow, nowMs)
    flow.send(message.data)
  })
  return ending(options, flows, () => socket.close())
}

/** A port of this host, to a device of the mesh. */
export async function startUdpEgress(options: PortOptions): Promise<AsyncDisposable> {
  const { parts, port, bind } = options
  const flows = flowsOf(`egress udp ${bind} port ${port}`, parts)
  const isV6 = isIP(bind) === 6
  const socket = createSocket(isV6 ? { type: 'udp6', ipv6Only: true } : { type: 'udp4' })
  socket.on('message', (data: Uint8Array, from: RemoteInfo) => {
    // Nobody can be answered there.
    if (from.port === 0) return
    const nowMs = parts.clock.monotonicMs()
    const key = `${from.address} ${from.port}`
    const known = flows.heard(key, nowMs)
    if (known !== undefined) return known.send(data)
    if (!flows.hasRoom(from.address, nowMs)) return
    const flow = meshFlow(options, {
      onMessage: (answer) => {
        if (flows.heard(key, parts.clock.monotonicMs()) === undefined) return
        socket.send(answer, from.port, from.address, () => {})
      },
      // The next datagram of this source tries the next backend.
      onError: () => flows.end(key),
    })
    flows.add(key, from.address, flow, nowMs)
    flow.send(data)
  })
  await bound(socket, port, bind)
  socket.on('error', (error) => parts.log('warn', 'proxy.socket-failed', { reason: error.message }))
  widen(socket)
  return ending(options, flows, () => socket.close())
}

function flowsOf(name: string, { flows, log }: PortOptions['parts']): FlowTable<Flow> {
  return new FlowTable<Flow>((flow) => flow.close(), { name, count: flows, log })
}

async function bound(socket: Socket, port: number, address: string): Promise<void> {
  try {
    socket.bind({ port, address })
    await once(socket, 'listening')
  } catch (error) {
    socket.close()
    throw error
  }
}

function keyOf({ remote, local }: UdpMessage): string {
  return `${formatEndpoint(remote)} ${local}`
}

/** A host that drops our wish still gives us what it has. */
function widen(socket: Socket): void {
  attempt(() => socket.setRecvBufferSize(BUFFER_BYTES))
}

/** Of datagrams, what cannot be sent is lost, as on the way. */
function attempt(send: () => void): void {
  try {
    send()
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error
  }
}

function ending(
  { parts }: PortOptions,
  flows: FlowTable<Flow>,
  close: () => void,
): AsyncDisposable {
  const sweep = parts.clock.every(SWEEP_MS, () => flows.expire(parts.clock.monotonicMs()))
  return {
    [Symbol.asyncDispose]: async () => {
      sweep.cancel()
      flows.endAll()
      close()
    },
  }
}

function meshFlow(options: PortOptions, events: FlowEvents): Flow {
  return comingFlow(() => firstMeshFlow(options, events), events)
}

/** To the first backend that is in the mesh. */
async function firstMeshFlow({ parts, choice }: PortOptions, events: FlowEvents): Promise<Flow> {
  let reason: unknown
  for (const rule of choice.next()) {
    try {
      const [address] = await foundAddresses(parts.mesh, rule.host)
      if (address === undefined) continue
      const to: Endpoint = { address, port: rule.hostPort }
      const isBackend = ({ address: from, port }: Endpoint): boolean =>
        from === to.address && port === to.port
      const socket = parts.stack.bindUdp(
        0,
        ({ data, remote }) => {
          if (isBackend(remote)) events.onMessage(data)
        },
        (remote) => {
          if (!isBackend(remote)) return
          const error = new SocketError('send', 'ECONNREFUSED', remote)
          choice.dead(rule, error)
          events.onError(error)
        },
      )
      choice.alive(rule)
      return {
        send: (data) => attempt(() => socket.send(data, to)),
        close: () => socket.close(),
      }
    } catch (error) {
      choice.dead(rule, error)
      reason = error
    }
  }
  throw reason
}

interface FlowEvents {
  onMessage(data: Uint8Array): void
  /** The backend is not there, or the port of it; the flow is over. */
  onError(error: unknown): void
}

function localFlow(rule: ProxyRule, events: FlowEvents): Flow {
  return comingFlow(async () => {
    const socket = await connected(rule)
    let isClosed = false
    socket.on('message', (data: Uint8Array) => events.onMessage(data))
    socket.on('error', (error) => {
      if (!isClosed) events.onError(error)
    })
    return {
      send: (data) => socket.send(data),
      close: () => {
        isClosed = true
        socket.close()
      },
    }
  }, events)
}

/** A flow whose way is found meanwhile. */
function comingFlow(open: () => Promise<Flow>, { onError }: FlowEvents): Flow {
  const waiting: Uint8Array[] = []
  let found: Flow | undefined
  let isClosed = false
  open().then(
    (flow) => {
      if (isClosed) return flow.close()
      found = flow
      for (const data of waiting.splice(0)) flow.send(data)
    },
    (error: unknown) => {
      if (!isClosed) onError(error)
    },
  )
  return {
    send: (data) => {
      if (found !== undefined) found.send(data)
      else if (waiting.length < WAITING) waiting.push(data)
    },
    close: () => {
      isClosed = true
      found?.close()
    },
  }
}

/** A socket that hears of this backend only, and of its refusals. */
async function connected({ host, hostPort }: ProxyRule): Promise<Socket> {
  const { address } = await lookup(host)
  const canonical = parseIpAddress(address)
  const socket = createSocket(isIP(canonical) === 6 ? 'udp6' : 'udp4')
  try {
    socket.connect(hostPort, canonical)
    await once(socket, 'connect')
    return socket
  } catch (error) {
    socket.close()
    throw error
  }
}
