/** SOCKS server: any program of this host reaches devices of the mesh by name or address (RFC 1928), by TCP and by UDP.
 *  No authentication: it listens on loopback, or where the operator says. What is not of the mesh is refused. */

import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import type { IpAddress } from '../../protocol/address.ts'
import { MalformedError } from '../../protocol/errors.ts'
import { bridge, reset } from './bridge.ts'
import { dialMesh, type MeshDialer, NotOfMeshError } from './mesh-view.ts'
import { type ConnectionCount, KEEPALIVE_MS } from './proxy-parts.ts'
import {
  encodeSocksMethod,
  encodeSocksReply,
  LONGEST_SOCKS_MESSAGE,
  parseSocksGreeting,
  parseSocksRequest,
  SOCKS_COMMAND,
  SOCKS_REPLY,
  type SocksReply,
  type SocksRequest,
} from './socks-messages.ts'
import { associate } from './socks-udp.ts'

export interface LocalListenerParts extends MeshDialer {
  readonly connections: ConnectionCount
}

export interface LocalListener extends AsyncDisposable {
  readonly port: number
}

/** Milliseconds from the connection to its request, and from a refusal to the client's end. */
const REQUEST_MS = 10_000

/** @param at 0 for any port. Rejects when it can't listen. */
export async function startSocksServer(
  at: { readonly address: IpAddress; readonly port: number },
  parts: LocalListenerParts,
): Promise<LocalListener> {
  const clients = new Set<Socket>()
  const options = { allowHalfOpen: true, noDelay: true, keepAlive: true }
  const server = createServer({ ...options, keepAliveInitialDelay: KEEPALIVE_MS }, (client) => {
    client.on('error', () => {})
    const from = `socks ${client.remoteAddress}`
    if (!parts.connections.enter(from)) return void client.destroy()
    clients.add(client)
    client.on('close', () => {
      clients.delete(client)
      parts.connections.leave(from)
    })
    serve(client, parts).catch(() => reset(client))
  })
  server.listen({ host: at.address, port: at.port, ipv6Only: true })
  await once(server, 'listening')
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : at.port,
    [Symbol.asyncDispose]: async () => {
      server.close()
      for (const client of clients) reset(client)
    },
  }
}

async function serve(client: Socket, parts: LocalListenerParts): Promise<void> {
  const limit = parts.clock.after(REQUEST_MS, () => client.destroy())
  let request: SocksRequest
  try {
    const { isOpen } = await message(client, parseSocksGreeting)
    client.write(encodeSocksMethod(isOpen))
    if (!isOpen) return refuse(client, parts)
    request = await message(client, parseSocksRequest)
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error
    return refuse(client, parts, SOCKS_REPLY.addressNotSupported)
  } finally {
    limit.cancel()
  }
  if (request.command === SOCKS_COMMAND.connect) return await connectFor(client, request, parts)
  if (request.command === SOCKS_COMMAND.udpAssociate)
    return await associate(client, request.port, parts)
  refuse(client, parts, SOCKS_REPLY.commandNotSupported)
}

/** What the client has sent on trust is read and lost: unread, it would keep the connection from ending. */
function refuse(client: Socket, { clock }: LocalListenerParts, reply?: SocksReply): void {
  if (reply !== undefined) client.write(encodeSocksReply(reply))
  client.end()
  client.resume()
  const limit = clock.after(REQUEST_MS, () => client.destroy())
  client.on('close', () => limit.cancel())
}

async function connectFor(
  client: Socket,
  { host, port }: SocksRequest,
  parts: LocalListenerParts,
): Promise<void> {
  try {
    const target = await dialMesh(parts, host, port)
    target.on('error', () => {})
    if (client.destroyed) return reset(target)
    client.write(
      encodeSocksReply(SOCKS_REPLY.succeeded, {
        address: target.localAddress,
        port: target.localPort,
      }),
    )
    bridge(client, target)
  } catch (error) {
    refuse(client, parts, replyTo(error))
  }
}

/** Reads one message; what came after it stays with the client. */
async function message<T extends { readonly length: number }>(
  client: Socket,
  parse: (bytes: Uint8Array) => T | undefined,
): Promise<T> {
  let bytes: Uint8Array = new Uint8Array(0)
  for (;;) {
    const chunk: unknown = client.read()
    if (chunk instanceof Uint8Array) {
      bytes = Buffer.concat([bytes, chunk])
      const parsed = parse(bytes)
      if (parsed !== undefined) {
        if (bytes.length > parsed.length) client.unshift(bytes.subarray(parsed.length))
        return parsed
      }
      if (bytes.length > LONGEST_SOCKS_MESSAGE)
        throw new MalformedError(`SOCKS message of more than ${LONGEST_SOCKS_MESSAGE} bytes`)
    } else {
      if (client.readableEnded || client.destroyed) throw new Error('the client has gone')
      await more(client)
    }
  }
}

/** There is something to read, or never will be. */
async function more(client: Socket): Promise<void> {
  const settled = new AbortController()
  const { signal } = settled
  try {
    await Promise.race(['readable', 'close'].map((event) => once(client, event, { signal })))
  } finally {
    settled.abort()
  }
}

const REPLIES: Readonly<Record<string, SocksReply>> = {
  ECONNREFUSED: SOCKS_REPLY.refused,
  ETIMEDOUT: SOCKS_REPLY.hostUnreachable,
  EHOSTUNREACH: SOCKS_REPLY.hostUnreachable,
  EADDRNOTAVAIL: SOCKS_REPLY.networkUnreachable,
}

function replyTo(error: unknown): SocksReply {
  if (error instanceof NotOfMeshError) return SOCKS_REPLY.notAllowed
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  return REPLIES[code] ?? SOCKS_REPLY.failed
}
