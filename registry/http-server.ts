/** The listening HTTP servers with their limits; what answers is given to them once that can be known. */
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { Clock } from '../protocol/clock.ts'
import type { Log } from '../protocol/log.ts'
import { ConfigError, formatHostPort, type HostPort, isWildcard } from './config.ts'
import { followTlsFiles, readTlsFiles, type TlsFiles } from './http-tls.ts'

/** Milliseconds; a request of ours is small and its sender has it ready. */
const HEADERS_TIMEOUT_MS = 10_000
const REQUEST_TIMEOUT_MS = 30_000
const KEEP_ALIVE_MS = 10_000
const MAX_HEADER_BYTES = 16 * 1024
const MAX_HEADERS = 64
const MAX_CONNECTIONS = 10_000
/** How long requests may take to end when the server stops. Milliseconds. */
const DRAIN_MS = 1_000

const LIMITS = {
  headersTimeout: HEADERS_TIMEOUT_MS,
  requestTimeout: REQUEST_TIMEOUT_MS,
  keepAliveTimeout: KEEP_ALIVE_MS,
  maxHeaderSize: MAX_HEADER_BYTES,
}

export interface HttpServer extends AsyncDisposable {
  /** With the port that was chosen where 0 was asked for. */
  readonly address: HostPort
  readonly protocol: 'http' | 'https'
  /** As this process reaches itself: always by http. */
  readonly localUrl: string
  /** Called once; requests that came earlier were answered with 503. */
  answerWith(listener: RequestListener): void
}

export interface HttpServerParts {
  readonly clock: Pick<Clock, 'after' | 'every'>
  readonly log: Log
}

/** Throws ConfigError when the address cannot be listened on, or the files of `tls` can't be used.
 *  @param option what the operator calls the address */
export async function startHttpServer(
  listen: HostPort,
  parts: HttpServerParts,
  {
    tls,
    option = '--listen',
  }: { readonly tls?: TlsFiles | undefined; readonly option?: string } = {},
): Promise<HttpServer> {
  await using opened = new AsyncDisposableStack()
  let answer: RequestListener = (_request, response) => void response.writeHead(503).end()
  const listener: RequestListener = (request, response) => void answer(request, response)
  const start = async (server: Server, at: HostPort) => {
    const port = await listenOn(server, at, option)
    opened.defer(() => stop(server, parts.clock))
    return port
  }
  const outer =
    tls === undefined ? createServer(LIMITS, listener) : await secure(tls, listener, parts, opened)
  const port = await start(outer, listen)
  // Who asks itself would have to believe a certificate that names another host.
  const local: HostPort =
    tls === undefined
      ? { host: localHost(listen.host), port }
      : { host: '127.0.0.1', port: await start(createServer(LIMITS, listener), LOCAL) }
  const ending = opened.move()
  return {
    address: { host: listen.host, port },
    protocol: tls === undefined ? 'http' : 'https',
    localUrl: `http://${formatHostPort(local)}`,
    answerWith(given) {
      answer = given
    },
    [Symbol.asyncDispose]: () => ending.disposeAsync(),
  }
}

const LOCAL: HostPort = { host: '127.0.0.1', port: 0 }

async function secure(
  files: TlsFiles,
  listener: RequestListener,
  parts: HttpServerParts,
  opened: AsyncDisposableStack,
): Promise<Server> {
  const server = createTlsServer({ ...LIMITS, ...(await readTlsFiles(files)) }, listener)
  const following = await followTlsFiles(files, parts, (content) =>
    server.setSecureContext(content),
  )
  opened.defer(() => following.cancel())
  return server
}

async function listenOn(server: Server, listen: HostPort, option: string): Promise<number> {
  server.maxHeadersCount = MAX_HEADERS
  server.maxConnections = MAX_CONNECTIONS
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', (cause) =>
    reject(new ConfigError(cannotListen(listen, option, cause), { cause })),
  )
  server.listen({ host: listen.host, port: listen.port }, resolve)
  await promise
  const { port } = server.address() as AddressInfo
  return port
}

async function stop(server: Server, clock: Pick<Clock, 'after'>): Promise<void> {
  const closed = new Promise<void>((done) => server.close(() => done()))
  server.closeIdleConnections()
  const cut = clock.after(DRAIN_MS, () => server.closeAllConnections())
  await closed
  cut.cancel()
}

function localHost(host: string): string {
  if (!isWildcard(host)) return host
  return host.includes(':') ? '::1' : '127.0.0.1'
}

function cannotListen(listen: HostPort, option: string, cause: Error): string {
  const code = 'code' in cause ? cause.code : undefined
  const where = `${option} ${formatHostPort(listen)}`
  if (code === 'EADDRINUSE')
    return `${where}: the port is taken (stop what uses it, or choose another)`
  if (code === 'EACCES') return `${where}: not permitted (choose a port above 1023, or run as root)`
  if (code === 'EADDRNOTAVAIL') return `${where}: this machine has no such address`
  return `${where}: ${cause.message}`
}
