/** Server: the resolver's sockets, UDP and TCP on one loopback address of its own, for this host alone. It bounds what
 *  comes in, and holds no rule about names. */
import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer, type Server } from 'node:net'
import { networkInterfaces } from 'node:os'
import {
  addressFamily,
  type Endpoint,
  formatEndpoint,
  type IpAddress,
  parseIpAddress,
} from '../../protocol/address.ts'
import type { Clock } from '../../protocol/clock.ts'
import type { Log } from '../../protocol/log.ts'
import { explain } from '../errors.ts'
import { newBucket } from '../path/bucket.ts'
import { serveTcp } from './tcp-queries.ts'

/** What to say to one message; undefined: nothing. Never rejects. */
export type Responder = (bytes: Buffer, by: 'udp' | 'tcp') => Promise<Buffer | undefined>

export const SERVER_LIMITS = {
  /** Queries at once, and a second, of all programs of the host: one that runs wild must not take the agent's time. */
  burst: 2000,
  rate: 1000,
  /** TCP connections at once. */
  connections: 32,
} as const

/** Where to listen, the best first: port 53, for who can be told no other; where that is not to be had, another. */
const PORTS = [53, 53_053]
/** Loopback, so that the kernel keeps others out; not 127.0.0.1, .53 or .54, which other resolvers have. */
const ADDRESSES = Array.from({ length: 8 }, (_, index) => parseIpAddress(`127.88.${index}.53`))

export interface ServerOptions {
  readonly respond: Responder
  readonly clock: Clock
  readonly log: Log
  /** Instead of the usual ones. */
  readonly places?: readonly Endpoint[]
}

export interface NameServer extends AsyncDisposable {
  readonly at: Endpoint
}

/** Undefined, and it says why, where no place is free or allowed. */
export async function startNameServer(options: ServerOptions): Promise<NameServer | undefined> {
  const places =
    options.places ?? PORTS.flatMap((port) => ADDRESSES.map((address) => ({ address, port })))
  const reasons = new Set<string>()
  for (const at of places) {
    try {
      return await listenAt(at, options)
    } catch (error) {
      if (!(error instanceof Error && 'code' in error)) throw error
      reasons.add(explain(error))
    }
  }
  options.log('warn', 'names.no-server', { reason: [...reasons].slice(0, 2).join('; ') })
  return undefined
}

async function listenAt(at: Endpoint, options: ServerOptions): Promise<NameServer> {
  const { clock } = options
  const bucket = newBucket(SERVER_LIMITS.burst, SERVER_LIMITS.rate)
  const respond: Responder = async (bytes, by) =>
    bucket.take(clock.monotonicMs()) ? options.respond(bytes, by) : undefined
  const udp = await boundUdp(at)
  try {
    const port = udp.address().port
    const tcp = await listeningTcp({ ...at, port }, respond, clock)
    serveUdp(udp, at.address, respond)
    const place = { ...at, port }
    options.log('info', 'names.listening', { at: formatEndpoint(place) })
    return { at: place, [Symbol.asyncDispose]: () => ended(udp, tcp) }
  } catch (error) {
    udp.close()
    throw error
  }
}

async function boundUdp({ address, port }: Endpoint): Promise<UdpSocket> {
  const socket = createSocket(addressFamily(address) === 4 ? 'udp4' : 'udp6')
  socket.bind({ address, port, exclusive: true })
  try {
    await once(socket, 'listening')
  } catch (error) {
    socket.close()
    throw error
  }
  return socket
}

function serveUdp(socket: UdpSocket, own: IpAddress, respond: Responder): void {
  // An answer to a program that has gone comes back as an error.
  socket.on('error', () => {})
  socket.on('message', (bytes, { address, port }) => {
    if (!isThisHost(address, own)) return
    respond(bytes, 'udp').then(
      (answer) => {
        if (answer !== undefined) sendTo(socket, answer, address, port)
      },
      // As if the question had been lost.
      () => undefined,
    )
  })
}

/** The socket may have been closed meanwhile. */
function sendTo(socket: UdpSocket, answer: Buffer, address: string, port: number): void {
  try {
    socket.send(answer, port, address)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error
  }
}

/** Others get to a loopback address where the kernel is told so (route_localnet), as kube-proxy does; and to one of this
 *  device, but not from one of this host: the kernel drops what comes from outside with an IPv4 address of its own, and
 *  an answer to an IPv6 one stays here.
 *  @param own what is listened on */
export function isThisHost(address: string | undefined, own: IpAddress): boolean {
  if (address === own || (address?.startsWith('127.') ?? false)) return true
  return Object.values(networkInterfaces()).some((all) =>
    all?.some((each) => each.address === address),
  )
}

async function listeningTcp(
  { address, port }: Endpoint,
  respond: Responder,
  clock: Clock,
): Promise<{ readonly server: Server; readonly end: () => void }> {
  const server = createServer({ noDelay: true })
  server.maxConnections = SERVER_LIMITS.connections
  const ends = new Set<() => void>()
  server.on('connection', (socket) => {
    if (!isThisHost(socket.remoteAddress, address)) return void socket.destroy()
    const end = (): void => void socket.destroy()
    ends.add(end)
    socket.on('close', () => ends.delete(end))
    serveTcp(socket, respond, clock)
  })
  server.listen({ host: address, port, exclusive: true })
  await once(server, 'listening')
  return { server, end: () => ends.forEach((end) => void end()) }
}

async function ended(udp: UdpSocket, tcp: Awaited<ReturnType<typeof listeningTcp>>): Promise<void> {
  const closed = once(udp, 'close')
  udp.close()
  tcp.server.close()
  tcp.end()
  await closed
}
