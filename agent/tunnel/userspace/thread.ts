/** Thread: WireGuard over TUN in a thread of its own, as its agent sees it. */
import { Worker } from 'node:worker_threads'
import type { AgreementKeyPair } from '../../../crypto/agreement.ts'
import { type Endpoint, formatEndpoint, type IpAddress } from '../../../protocol/address.ts'
import type { Log } from '../../../protocol/log.ts'
import type { RedirectedEndpoints } from '../../host/redirected-endpoints.ts'
import { TUN_THREAD } from '../../program-files.ts'
import type { WireGuardDevice } from '../device.ts'
import { TunnelError } from '../errors.ts'
import type { HostSide } from '../tunnel.ts'
import type { SharedPort } from './shared-port.ts'
import {
  decodeError,
  encodeChange,
  type FromThread,
  type ThreadCalls,
  type ToThread,
} from './thread-calls.ts'

export class TunThread implements SharedPort, RedirectedEndpoints {
  onOther: SharedPort['onOther'] = () => undefined
  /** Resolves when the tunnel is no more: with the fault when it ended by itself, else undefined. */
  readonly ended: Promise<Error | undefined>
  readonly calls: ThreadCalls
  readonly #worker: Worker
  readonly #log: Log
  readonly #asked = new Map<number, PromiseWithResolvers<unknown>>()
  readonly #diverted = new Map<IpAddress, (datagram: Uint8Array) => void>()
  /** By the text of the endpoint. */
  readonly #divertedEndpoints = new Map<string, (datagram: Uint8Array) => void>()
  readonly #end = Promise.withResolvers<Error | undefined>()
  #last = 0
  /** Why it answers no more. */
  #gone: TunnelError | undefined

  /** Starts it; `calls.open` makes the interface. */
  constructor(interfaceName: string, log: Log) {
    this.#log = log
    this.ended = this.#end.promise
    this.#worker = new Worker(TUN_THREAD, {
      workerData: { interfaceName },
      // The C library opens some that Node closes.
      trackUnmanagedFds: false,
    })
    this.#worker.on('message', (said: FromThread) => this.#heard(said))
    this.#worker.once('error', (error) => this.#ends(error))
    this.#worker.once('exit', () => this.#ends(undefined))
    this.calls = new Proxy({} as ThreadCalls, {
      get:
        (_calls, name: keyof ThreadCalls) =>
        (...args: readonly unknown[]) =>
          this.#ask(name, args),
    })
  }

  sendOther(datagram: Uint8Array, to: Endpoint): boolean {
    this.#post({ kind: 'send', datagram, to })
    return true
  }

  divert(address: IpAddress, take: (datagram: Uint8Array) => void): void {
    this.#diverted.set(address, take)
    this.#post({ kind: 'divert', address })
  }

  undivert(address: IpAddress): void {
    this.#diverted.delete(address)
    this.#post({ kind: 'undivert', address })
  }

  inject(datagram: Uint8Array, from: Endpoint): void {
    this.#post({ kind: 'inject', datagram, from })
  }

  divertEndpoint(remote: Endpoint, take: ((datagram: Uint8Array) => void) | undefined): void {
    if (take === undefined) this.#divertedEndpoints.delete(formatEndpoint(remote))
    else this.#divertedEndpoints.set(formatEndpoint(remote), take)
    this.#post({ kind: take === undefined ? 'undivert-endpoint' : 'divert-endpoint', remote })
  }

  arrived(datagram: Uint8Array, from: Endpoint): void {
    this.#post({ kind: 'arrived', datagram, from })
  }

  redirect(others: readonly Endpoint[], endpoint: Endpoint): Promise<void> {
    return this.calls.redirect(others, endpoint)
  }

  /** Ends the tunnel, then the thread. */
  async end(): Promise<void> {
    await this.calls.end().catch(() => undefined)
    await this.#worker.terminate()
  }

  #ask(name: keyof ThreadCalls, args: readonly unknown[]): Promise<unknown> {
    if (this.#gone !== undefined) return Promise.reject(this.#gone)
    this.#last += 1
    const asked = Promise.withResolvers<unknown>()
    this.#asked.set(this.#last, asked)
    this.#post({ kind: 'call', id: this.#last, name, args })
    return asked.promise
  }

  #post(said: ToThread): void {
    this.#worker.postMessage(said)
  }

  #heard(said: FromThread): void {
    switch (said.kind) {
      case 'answer':
        this.#answered(said.id)?.resolve(said.value)
        return
      case 'failure':
        this.#answered(said.id)?.reject(decodeError(said.error))
        return
      case 'datagram':
        this.onOther(said.datagram, said.from)
        return
      case 'diverted':
        this.#diverted.get(said.address)?.(said.datagram)
        return
      case 'endpoint-diverted':
        this.#divertedEndpoints.get(formatEndpoint(said.remote))?.(said.datagram)
        return
      case 'log':
        this.#log(...said.line)
        return
      case 'ended':
        this.#ends(said.error && decodeError(said.error))
    }
  }

  #answered(id: number): PromiseWithResolvers<unknown> | undefined {
    const asked = this.#asked.get(id)
    this.#asked.delete(id)
    return asked
  }

  #ends(error: Error | undefined): void {
    this.#end.resolve(error)
    this.#gone ??= new TunnelError('ERR_TUNNEL_GONE', error?.message ?? 'the tunnel has ended')
    for (const asked of this.#asked.values()) asked.reject(this.#gone)
    this.#asked.clear()
  }
}

/** WireGuard itself, without its interface's addresses and routes. */
export function threadDevice(thread: TunThread, interfaceName: string): WireGuardDevice {
  const { calls } = thread
  let privateKey: AgreementKeyPair | undefined
  return {
    kind: 'tun',
    interfaceName,
    ended: thread.ended,
    read: async () => ({ ...(await calls.read()), ...(privateKey && { privateKey }) }),
    change: async (change) => {
      await calls.change(encodeChange(change))
      privateKey = change.privateKey ?? privateKey
    },
    setEndpoint: calls.setEndpoint,
    setKeepalive: calls.setKeepalive,
    replacePeer: calls.replacePeer,
    [Symbol.asyncDispose]: () => thread.end(),
  }
}

/** What the thread must know of the packets inside. */
export function threadSide({ calls }: TunThread): HostSide {
  return {
    invalidate: () => undefined,
    configure: async ({ addresses, mtu, peers }) => {
      const mtus = [...peers.values()].map(({ publicKey, mtu: ofPath }) => ({
        publicKey,
        mtu: ofPath,
      }))
      await calls.configure({ addresses, mtu, peers: mtus })
    },
  }
}
