/** HTTP server: a forward proxy (RFC 9110 §3.7, §9.3.6) by which any program of this host reaches devices of the mesh by
 *  name or address. CONNECT joins connections; a request with an absolute URI is passed on. What is not of the mesh is
 *  refused. */
import { once } from 'node:events'
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  request,
  type ServerResponse,
} from 'node:http'
import { isIPv6, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { IpAddress } from '../../protocol/address.ts'
import { bridge, reset } from './bridge.ts'
import { dialMesh, NotOfMeshError } from './mesh-view.ts'
import { KEEPALIVE_MS } from './proxy-parts.ts'
import type { LocalListener, LocalListenerParts } from './socks-server.ts'

/** Of a final answer (RFC 9110 §15); less, and Node refuses to pass it on by throwing. */
const LEAST_STATUS = 200

/** Of one connection only (RFC 9110 §7.6.1), with what old clients send to proxies. */
const HOP_BY_HOP = [
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]

/** Requests of one connection that wait for the one before (RFC 9112 §9.3.2): a client with more is cut off. */
const WAITING = 16

/** @param at 0 for any port. Rejects when it can't listen. */
export async function startHttpProxy(
  at: { readonly address: IpAddress; readonly port: number },
  parts: LocalListenerParts,
): Promise<LocalListener> {
  const clients = new Set<Duplex>()
  const turns = newTurns()
  const server = createServer(
    {
      ...{ requestTimeout: 0, headersTimeout: 10_000, keepAliveTimeout: 60_000 },
      ...{ maxHeaderSize: 16_384, keepAlive: true, keepAliveInitialDelay: KEEPALIVE_MS },
    },
    (incoming, response) =>
      turns(incoming, response, () => void forward(incoming, response, parts)),
  )
  server.on('connection', (client: Socket) => {
    client.on('error', () => {})
    const from = `http ${client.remoteAddress}`
    if (!parts.connections.enter(from)) return void client.destroy()
    clients.add(client)
    client.on('close', () => {
      clients.delete(client)
      parts.connections.leave(from)
    })
  })
  server.on('connect', (incoming: IncomingMessage, client: Duplex, head: Buffer) => {
    join(incoming, client, head, parts).catch(() => reset(client))
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

/** One request of a client at a time: each takes a connection of the stack, which is counted by client. */
function newTurns() {
  const waiting = new WeakMap<Socket, (() => void)[]>()
  return ({ socket }: IncomingMessage, response: ServerResponse, begin: () => void): void => {
    response.on('close', () => {
      const next = waiting.get(socket)?.shift()
      if (next === undefined) waiting.delete(socket)
      else next()
    })
    const others = waiting.get(socket)
    if (others === undefined) {
      waiting.set(socket, [])
      begin()
    } else if (others.push(begin) > WAITING) reset(socket)
  }
}

/** `CONNECT host:port`. */
async function join(
  { url = '' }: IncomingMessage,
  client: Duplex,
  head: Buffer,
  parts: LocalListenerParts,
): Promise<void> {
  const match = /^(\[[^\]]+\]|[^:[\]]+):(\d{1,5})$/.exec(url)
  const port = Number(match?.[2])
  if (match === null || !(port >= 1 && port <= 65_535)) {
    client.end(plain(400, `cannot connect to "${url.slice(0, 80)}", want host:port`))
    return
  }
  try {
    const target = await dialMesh(parts, unbracketed(match[1] ?? ''), port)
    target.on('error', () => {})
    if (client.destroyed) return reset(target)
    client.write('HTTP/1.1 200 Connection established\r\n\r\n')
    if (head.length > 0) client.unshift(head)
    bridge(client, target)
  } catch (error) {
    client.end(plain(statusOf(error), reasonOf(error)))
  }
}

/** A request with an absolute URI. */
async function forward(
  incoming: IncomingMessage,
  response: ServerResponse,
  parts: LocalListenerParts,
): Promise<void> {
  const fail = (status: number, reason: string): void => {
    if (response.headersSent) return void response.destroy()
    response.writeHead(status, { 'content-type': 'text/plain', connection: 'close' })
    response.end(`${reason}\n`)
  }
  const url = URL.parse(incoming.url ?? '')
  if (url === null || url.protocol !== 'http:')
    return fail(400, 'this is a proxy: want an absolute http:// URI, or CONNECT for https')
  try {
    const port = url.port === '' ? 80 : Number(url.port)
    const target = await dialMesh(parts, unbracketed(url.hostname), port)
    target.on('error', () => {})
    if (response.destroyed) return reset(target)
    response.on('close', () => reset(target))
    const onward = request({
      createConnection: () => target,
      method: incoming.method ?? 'GET',
      path: `${url.pathname}${url.search}`,
      headers: { ...withoutHops(incoming.headers), ...framing(incoming), ...hopHeaders(url) },
    })
    onward.on('error', (error) => fail(502, reasonOf(error)))
    onward.on('upgrade', () => {
      reset(target)
      fail(502, `${url.host} changes to a protocol that was not asked for`)
    })
    onward.on('response', (answer) => {
      const { statusCode = 0 } = answer
      if (statusCode < LEAST_STATUS) {
        reset(target)
        return fail(502, `${url.host} answers with status ${statusCode}`)
      }
      response.writeHead(statusCode, withoutHops(answer.headers))
      answer.on('error', () => response.destroy())
      answer.pipe(response)
    })
    incoming.pipe(onward)
  } catch (error) {
    fail(statusOf(error), reasonOf(error))
  }
}

/** Of the connection to `url`. */
function hopHeaders({ host }: URL): OutgoingHttpHeaders {
  return { host, connection: 'close' }
}

/** A body without a length is framed here, too: Node does so by itself for some methods only. */
function framing({ headers }: IncomingMessage): OutgoingHttpHeaders {
  return headers['transfer-encoding'] === undefined ? {} : { 'transfer-encoding': 'chunked' }
}

/** Those that go on: not those of this connection, nor those that it names; what frames the body is not one of them. */
function withoutHops(headers: IncomingHttpHeaders): OutgoingHttpHeaders {
  const named = String(headers.connection ?? '')
    .split(',')
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== 'content-length')
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => !HOP_BY_HOP.includes(name) && !named.includes(name)),
  )
}

function unbracketed(host: string): string {
  const inner = host.startsWith('[') ? host.slice(1, -1) : host
  return isIPv6(inner) ? inner : host.toLowerCase()
}

function statusOf(error: unknown): number {
  if (error instanceof NotOfMeshError) return 403
  return error instanceof Error && 'code' in error && error.code === 'ETIMEDOUT' ? 504 : 502
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

const PHRASES: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  403: 'Forbidden',
  502: 'Bad Gateway',
  504: 'Gateway Timeout',
}

function plain(status: number, reason: string): string {
  const body = `${reason}\n`
  return (
    `HTTP/1.1 ${status} ${PHRASES[status] ?? 'Error'}\r\ncontent-type: text/plain\r\n` +
    `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`
  )
}
