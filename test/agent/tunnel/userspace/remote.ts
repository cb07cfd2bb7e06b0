/** A tunnel in another process, asked in lines: the Tunnel that the contract wants, and what a test asks besides. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Tunnel, TunnelConfig, TunnelPeerStats } from '../../../../agent/tunnel/backend.ts'
import {
  agreementKeyPairFromPrivate,
  parseAgreementPublicKey,
  privateBytesOf,
} from '../../../../crypto/agreement.ts'
import { fromHex, toHex } from '../../../../crypto/bytes.ts'
import { formatEndpoint, parseEndpoint, parsePrefix } from '../../../../protocol/address.ts'
import type { Answer } from './echo-device.ts'

export interface ConfigText {
  readonly privateKey: string
  readonly listenPort: number
  readonly addresses: readonly string[]
  readonly mtu: number
  readonly peers: readonly {
    readonly publicKey: string
    readonly endpoint?: string
    readonly allowedIps: readonly string[]
    readonly persistentKeepalive: number
    readonly mtu?: number
  }[]
}

type StatsText = Omit<TunnelPeerStats, 'publicKey'> & { readonly publicKey: string }

export interface Calls {
  /** Resolves when it is there. */
  started(): Promise<void>
  configure(config: ConfigText): Promise<void>
  setEndpoint(key: string, endpoint: string): Promise<void>
  setKeepalive(key: string, seconds: number): Promise<void>
  restartPeer(key: string): Promise<void>
  stats(): Promise<readonly StatsText[]>
  presharedKey(key: string, presharedKey: string): Promise<void>
  rebind(port: number): Promise<void>
  /** @param bytes of the packet, which must not be cut */
  ping(address: string, bytes: number, waitMs: number): Promise<Answer | 'nothing'>
  /** How many came back. */
  pingMany(address: string, count: number, everyMs: number): Promise<number>
  flood(key: string, endpoint: string, count: number): Promise<void>
  /** Cookie replies that came from outside. */
  cookies(): Promise<number>
  /** Cookie replies that it sent to that port. */
  cookiesSent(port: number): Promise<number>
  end(): Promise<void>
}

export interface Remote {
  readonly tunnel: Tunnel
  readonly calls: Calls
  readonly child: ChildProcess
}

export interface RemoteOptions {
  /** The interface of the host whose packets it carries; its own echo device where it is missing. */
  readonly over?: { readonly backend: 'tun' | 'kernel'; readonly interfaceName: string }
  readonly onLog?: (line: string) => void
}

/** @param prefix the command that puts it where it belongs, as `ip netns exec …` */
export function startRemote(
  prefix: readonly string[],
  { over, onLog }: RemoteOptions = {},
): Remote {
  const script = fileURLToPath(new URL('remote-process.ts', import.meta.url))
  const [command = '', ...args] = [
    ...prefix,
    process.execPath,
    script,
    ...(over === undefined ? [] : [over.interfaceName, over.backend]),
  ]
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  const calls = callsOf(child, onLog)
  return { tunnel: tunnelOf(calls, child, over), calls, child }
}

function callsOf(child: ChildProcess, onLog: RemoteOptions['onLog']): Calls {
  const waiting = new Map<number, PromiseWithResolvers<unknown>>()
  let last = 0
  if (child.stdout === null || child.stdin === null) throw new Error('no pipes')
  createInterface({ input: child.stdout }).on('line', (line) => {
    const { id, value, error, log } = JSON.parse(line)
    if (log !== undefined) onLog?.(log)
    const asked = waiting.get(id)
    waiting.delete(id)
    if (error === undefined) asked?.resolve(value)
    else asked?.reject(Object.assign(new Error(error.message), { code: error.code }))
  })
  child.once('exit', () => {
    for (const asked of waiting.values()) asked.reject(new Error('the process ended'))
  })
  const call =
    (name: string) =>
    (...args: readonly unknown[]): Promise<unknown> => {
      last += 1
      const asked = Promise.withResolvers<unknown>()
      waiting.set(last, asked)
      child.stdin?.write(`${JSON.stringify({ id: last, call: name, args })}\n`)
      return asked.promise
    }
  return new Proxy({} as Calls, { get: (_target, name) => call(String(name)) })
}

function tunnelOf(calls: Calls, child: ChildProcess, over: RemoteOptions['over']): Tunnel {
  const exited = once(child, 'exit')
  return {
    kind: over?.backend ?? 'userspace',
    interfaceName: over?.interfaceName ?? 'inside',
    ended: exited.then(() => undefined),
    configure: (wanted) => calls.configure(encodeConfig(wanted)),
    setEndpoint: (publicKey, endpoint) =>
      calls.setEndpoint(toHex(publicKey), formatEndpoint(endpoint)),
    setKeepalive: (publicKey, seconds) => calls.setKeepalive(toHex(publicKey), seconds),
    restartPeer: (publicKey) => calls.restartPeer(toHex(publicKey)),
    stats: async () =>
      (await calls.stats()).map((one) => ({
        ...one,
        publicKey: parseAgreementPublicKey(fromHex(one.publicKey)),
      })),
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null) await calls.end()
      await exited
    },
  }
}

export function encodeConfig({
  privateKey,
  listenPort,
  addresses,
  mtu,
  peers,
}: TunnelConfig): ConfigText {
  return {
    privateKey: toHex(privateBytesOf(privateKey)),
    listenPort,
    addresses,
    mtu,
    peers: [...peers.values()].map(({ publicKey, endpoint, ...rest }) => ({
      ...rest,
      publicKey: toHex(publicKey),
      ...(endpoint === undefined ? {} : { endpoint: formatEndpoint(endpoint) }),
    })),
  }
}

export function decodeConfig(text: ConfigText): TunnelConfig {
  return {
    privateKey: agreementKeyPairFromPrivate(fromHex(text.privateKey)),
    listenPort: text.listenPort,
    addresses: text.addresses.map(parsePrefix),
    mtu: text.mtu,
    peers: new Map(
      text.peers.map(({ publicKey, endpoint, allowedIps, ...rest }) => [
        publicKey,
        {
          ...rest,
          publicKey: parseAgreementPublicKey(fromHex(publicKey)),
          allowedIps: allowedIps.map(parsePrefix),
          ...(endpoint === undefined ? {} : { endpoint: parseEndpoint(endpoint) }),
        },
      ]),
    ),
  }
}
