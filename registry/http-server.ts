/** The listening HTTP server with its limits; what answers is given to it once that can be known. */
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Clock } from '../protocol/clock.ts'
import { ConfigError, formatHostPort, type HostPort, isWildcard } from './config.ts'

/** Milliseconds; a request of ours is small and its sender has it ready. */
const HEADERS_TIMEOUT_MS = 10_000
const REQUEST_TIMEOUT_MS = 30_000
const KEEP_ALIVE_MS = 10_000
const MAX_HEADER_BYTES = 16 * 1024
const MAX_HEADERS = 64
const MAX_CONNECTIONS = 10_000
/** How long requests may take to end when the server stops. Milliseconds. */
const DRAIN_MS = 1_000

export interface HttpServer extends AsyncDisposable {
  /** With the port that was chosen where 0 was asked for. */
  readonly address: HostPort
  /** As this process reaches itself. */
  readonly localUrl: string
  /** Called once; requests that came earlier were answered with 503. */
  answerWith(listener: RequestListener): void
}

/** Throws ConfigError when the address cannot be listened on. */
export async function startHttpServer(
  listen: HostPort,
  clock: Pick<Clock, 'after'>,
): Promise<HttpServer> {
  let answer: RequestListener = (_request, response) => void response.writeHead(503).end()
  const options = {
    headersTimeout: HEADERS_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    maxHeaderSize: MAX_HEADER_BYTES,
  }
  const server = createServer(options, (request, response) => void answer(request, response))
  server.maxHeadersCount = MAX_HEADERS
  server.maxConnections = MAX_CONNECTIONS
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', (cause) => reject(new ConfigError(cannotListen(listen, cause), { cause })))
  server.listen({ host: listen.host, port: listen.port }, resolve)
  await promise
  const { port } = server.address() as AddressInfo
  return {
    address: { host: listen.host, port },
    localUrl: `http://${formatHostPort({ host: localHost(listen.host), port })}`,
    answerWith(listener) {
      answer = listener
    },
    async [Symbol.asyncDispose]() {
      const closed = new Promise<void>((done) => server.close(() => done()))
      server.closeIdleConnections()
      const cut = clock.after(DRAIN_MS, () => server.closeAllConnections())
      await closed
      cut.cancel()
    },
  }
}

function localHost(host: string): string {
  if (!isWildcard(host)) return host
  return host.includes(':') ? '::1' : '127.0.0.1'
}

function cannotListen(listen: HostPort, cause: Error): string {
  const code = 'code' in cause ? cause.code : undefined
  const where = `--listen ${formatHostPort(listen)}`
  if (code === 'EADDRINUSE')
    return `${where}: the port is taken (stop what uses it, or choose another)`
  if (code === 'EACCES') return `${where}: not permitted (choose a port above 1023, or run as root)`
  if (code === 'EADDRNOTAVAIL') return `${where}: this machine has no such address`
  return `${where}: ${cause.message}`
}
