/** TCP ports: accept on one side, dial on the other, and join the two. Nothing is read of a source before its backend
 *  answers, so that it waits in the source's own buffers. */
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { parseIpAddress } from '../../protocol/address.ts'
import { bridge, reset } from './bridge.ts'
import { dialMesh } from './mesh-view.ts'
import { opened } from './opened.ts'
import { encodeProxyHeader } from './proxy-header.ts'
import { KEEPALIVE_MS, type PortOptions } from './proxy-parts.ts'
import type { ProxyRule } from './proxy-rule.ts'

type Source = Duplex & Pick<Socket, 'remoteAddress' | 'remotePort' | 'localAddress' | 'localPort'>

/** A port of this device in the mesh, to a host of the local network. */
export function startTcpIngress(options: PortOptions): AsyncDisposable {
  const sources = new Set<Duplex>()
  const listener = options.parts.stack.listenTcp(options.port, (source) =>
    relay(source, sources, options, ({ host, hostPort }) =>
      opened(
        connect({ host, port: hostPort, allowHalfOpen: true, noDelay: true, keepAlive: true }),
        options.parts.clock,
      ),
    ),
  )
  return {
    [Symbol.asyncDispose]: async () => {
      listener.close()
      for (const source of sources) reset(source)
    },
  }
}

/** A port of this host, to a device of the mesh. */
export async function startTcpEgress(options: PortOptions): Promise<AsyncDisposable> {
  const sources = new Set<Duplex>()
  const server = createServer({
    ...{ allowHalfOpen: true, pauseOnConnect: true, noDelay: true },
    ...{ keepAlive: true, keepAliveInitialDelay: KEEPALIVE_MS },
  })
  server.on('connection', (source) =>
    relay(source, sources, options, ({ host, hostPort }) =>
      dialMesh(options.parts, host, hostPort),
    ),
  )
  server.listen({ port: options.port, host: options.bind, ipv6Only: true })
  await once(server, 'listening')
  return {
    [Symbol.asyncDispose]: async () => {
      server.close()
      for (const source of sources) reset(source)
    },
  }
}

function relay(
  source: Source,
  sources: Set<Duplex>,
  { choice, parts }: PortOptions,
  dial: (rule: ProxyRule) => Promise<Duplex>,
): void {
  const from = source.remoteAddress ?? ''
  source.on('error', () => {})
  if (!parts.connections.enter(from)) {
    reset(source)
    return
  }
  sources.add(source)
  source.on('close', () => {
    sources.delete(source)
    parts.connections.leave(from)
  })
  const join = async (): Promise<void> => {
    const found = await dialFirst(choice.next(), source, dial, (rule, error) =>
      error === undefined ? choice.alive(rule) : choice.dead(rule, error),
    )
    if (found === undefined) return reset(source)
    found.target.on('error', () => {})
    if (source.destroyed) return reset(found.target)
    if (found.rule.proxyProtocol) found.target.write(headerOf(source, parts.mesh))
    bridge(source, found.target)
  }
  join().catch((error: unknown) => {
    parts.log('error', 'proxy.failed', { reason: String(error) })
    reset(source)
  })
}

/** The first that answers; undefined when none does, or when the source has gone. */
async function dialFirst(
  order: readonly ProxyRule[],
  source: Duplex,
  dial: (rule: ProxyRule) => Promise<Duplex>,
  found: (rule: ProxyRule, error?: unknown) => void,
): Promise<{ readonly rule: ProxyRule; readonly target: Duplex } | undefined> {
  for (const rule of order) {
    if (source.destroyed) return undefined
    try {
      const target = await dial(rule)
      found(rule)
      return { rule, target }
    } catch (error) {
      found(rule, error)
    }
  }
  return undefined
}

function headerOf(source: Source, mesh: PortOptions['parts']['mesh']): Uint8Array {
  const address = parseIpAddress(source.remoteAddress ?? '')
  return encodeProxyHeader(
    { address, port: source.remotePort ?? 0 },
    { address: parseIpAddress(source.localAddress ?? ''), port: source.localPort ?? 0 },
    mesh.nameOf(address),
  )
}
