/** Two devices whose stacks are joined in this process, each with a proxy; and services on loopback. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { setImmediate } from 'node:timers'
import { FlowCount, type FlowLimits } from '../../../agent/proxy/flow-table.ts'
import type { KnownMesh, MeshView } from '../../../agent/proxy/mesh-view.ts'
import { type RunningProxy, runProxy } from '../../../agent/proxy/proxy.ts'
import { ConnectionCount, type ConnectionLimits } from '../../../agent/proxy/proxy-parts.ts'
import { type ProxyDirection, parseProxyRule } from '../../../agent/proxy/proxy-rule.ts'
import { openProxyRules, type ProxyRules } from '../../../agent/proxy/rule-store.ts'
import { createStack, type Stack } from '../../../agent/stack/stack.ts'
import { systemClock } from '../../../agent/system-clock.ts'
import { randomBytes } from '../../../crypto/random.ts'
import type { Clock } from '../../../protocol/clock.ts'
import { FAR, NEAR } from '../../../simulations/world/stack-pair.ts'
import { tempDir } from '../../support/temp-dir.ts'

export interface ProxySide {
  readonly stack: Stack
  readonly mesh: MeshView
  readonly proxy: RunningProxy
  readonly rules: ProxyRules
  readonly connections: ConnectionCount
  readonly flows: FlowCount
  /** Events and the names they are about. */
  readonly logged: string[]
}

export interface TwoProxies extends AsyncDisposable {
  readonly near: ProxySide
  readonly far: ProxySide
  /** Ends all traffic between the two, or lets it pass again. */
  cut(isCut: boolean): void
  readonly folder: string
}

export type RuleTexts = Partial<Readonly<Record<ProxyDirection, readonly string[]>>>

const NAMES: Readonly<Record<string, typeof NEAR | typeof FAR>> = { near: NEAR, far: FAR }

const known: KnownMesh = {
  resolve: (name) => {
    const addresses = NAMES[name]
    return addresses === undefined ? [] : [addresses[4], addresses[6]]
  },
  nameOf: (address) =>
    Object.keys(NAMES).find((name) => Object.values(NAMES[name] ?? {}).includes(address)),
  isOfMesh: (address) => /^(100\.64\.|fd00::)/.test(address),
}

export function rulesOf({ ingress = [], egress = [] }: RuleTexts) {
  return [
    ...ingress.map((text) => parseProxyRule('ingress', text)),
    ...egress.map((text) => parseProxyRule('egress', text)),
  ]
}

export interface TwoProxiesOptions {
  readonly near?: RuleTexts
  readonly far?: RuleTexts
  /** Of the proxies. */
  readonly clock?: Clock
  readonly stackClock?: Clock
  /** Of the near side's names that no device has. */
  readonly lookUp?: (stack: Stack) => MeshView['lookUp']
  readonly connectionLimits?: ConnectionLimits
  readonly flowLimits?: FlowLimits
}

export async function startTwoProxies(given: TwoProxiesOptions = {}): Promise<TwoProxies> {
  await using made = new AsyncDisposableStack()
  const folder = made.use(await tempDir())
  let isCut = false
  const side = async (
    name: 'near' | 'far',
    texts: RuleTexts,
    other: () => Stack,
  ): Promise<ProxySide> => {
    const logged: string[] = []
    const log = (_level: string, event: string, fields?: Record<string, unknown>) =>
      void logged.push(`${event} ${String(fields?.['name'] ?? '')}`.trim())
    const addresses = [NAMES[name]?.[4], NAMES[name]?.[6]].filter((each) => each !== undefined)
    const stack = made.use(
      createStack({
        addresses,
        mtu: 1420,
        clock: given.stackClock ?? systemClock,
        random: randomBytes,
        log,
        onPacket: (packet) =>
          void setImmediate(() => {
            if (!isCut) other().write(packet)
          }),
      }),
    )
    const rules = await openProxyRules(join(folder.path, `${name}.json`), rulesOf(texts))
    const connections = new ConnectionCount(log, given.connectionLimits)
    const flows = new FlowCount(given.flowLimits)
    const { clock = systemClock, lookUp = () => async () => [] } = given
    const mesh: MeshView = { ...known, lookUp: lookUp(stack) }
    const proxy = made.use(runProxy({ stack, mesh, rules, clock, log, connections, flows }))
    await proxy.settled()
    return { stack, mesh, proxy, rules, connections, flows, logged }
  }
  const near: ProxySide = await side('near', given.near ?? {}, () => far.stack)
  const far: ProxySide = await side('far', given.far ?? {}, () => near.stack)
  const all = made.move()
  return {
    near,
    far,
    folder: folder.path,
    cut: (value) => {
      isCut = value
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  }
}

export interface Service extends AsyncDisposable {
  readonly port: number
  /** Connections, or datagrams, it was asked with. */
  readonly asked: Buffer[]
}

/** Sends back what comes, after its name. */
export async function startTcpService(
  name: string,
  host = '127.0.0.1',
  port = 0,
): Promise<Service & { readonly server: Server }> {
  const asked: Buffer[] = []
  const sockets = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket)
    const chunks: Buffer[] = []
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
    socket.on('data', (chunk: Buffer) => chunks.push(chunk))
    socket.on('end', () => {
      const all = Buffer.concat(chunks)
      asked.push(all)
      socket.end(Buffer.concat([Buffer.from(`${name}:`), all]))
    })
  })
  server.listen({ port, host })
  await once(server, 'listening')
  const address = server.address()
  return {
    server,
    asked,
    port: typeof address === 'object' && address !== null ? address.port : 0,
    [Symbol.asyncDispose]: async () => {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}

export async function startUdpService(
  name: string,
  host = '127.0.0.1',
  port = 0,
): Promise<Service> {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4')
  const asked: Buffer[] = []
  socket.on('message', (data, from) => {
    asked.push(data)
    socket.send(Buffer.concat([Buffer.from(`${name}:`), data]), from.port, from.address)
  })
  socket.bind(port, host)
  await once(socket, 'listening')
  socket.setRecvBufferSize(4 * 1024 * 1024)
  return {
    asked,
    port: socket.address().port,
    [Symbol.asyncDispose]: async () => {
      socket.close()
    },
  }
}

/** A port that nothing listens on just now. Below those that the system gives to whoever asks for any, so that no other test takes it meanwhile. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 20_000)
    const server = createServer()
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false))
      server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
    })
    if (isFree) return port
  }
}

/** What a TCP service answers; rejects where the connection breaks. */
export async function askTcp(port: number, text: string, host = '127.0.0.1'): Promise<string> {
  const socket = connect({ port, host, allowHalfOpen: true })
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  socket.end(text)
  await once(socket, 'end')
  return String(Buffer.concat(chunks))
}

/** What a UDP service answers, asked again while nothing comes. */
export async function askUdp(port: number, text: string, host = '127.0.0.1'): Promise<string> {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4')
  try {
    const answer = once(socket, 'message')
    const send = () => socket.send(text, port, host)
    send()
    const again = systemClock.every(500, send)
    const [data] = await answer
    again.cancel()
    return String(data)
  } finally {
    socket.close()
  }
}

export async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await systemClock.sleep(10)
}
