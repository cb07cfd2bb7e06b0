/** TCP table: connections by handle, and who listens on which port. */
import { addressFamily, type Endpoint, type IpAddress } from '../../protocol/address.ts'
import type { Clock } from '../../protocol/clock.ts'
import type { Engine } from './engine.ts'
import { firstShares, STACK_LIMITS } from './limits.ts'
import { DATA_BYTES, type Endpoints, type Failure, type Handle } from './lwip/module.ts'
import type { OwnAddresses } from './own-addresses.ts'
import { newReceiveWindow, type ReceiveWindow, windowAfter } from './receive-window.ts'
import { SocketError } from './socket-error.ts'
import { TcpConnection } from './tcp-connection.ts'

export interface TcpListener {
  readonly port: number
  /** Ends the listening; connections stay. */
  close(): void
}

interface Entry {
  readonly connection: TcpConnection
  window: ReceiveWindow
}

interface Listening {
  listener: number
  readonly onConnection: (connection: TcpConnection) => void
}

export interface TcpTableOptions {
  readonly addresses: OwnAddresses
  readonly clock: Clock
  readonly defer: (task: () => void) => void
}

export class TcpTable {
  readonly #engine: Engine
  readonly #options: TcpTableOptions
  readonly #entries = new Map<Handle, Entry>()
  readonly #listening = new Map<number, Listening>()
  /** Bytes of all receive windows. */
  #granted = 0

  constructor(engine: Engine, options: TcpTableOptions) {
    this.#engine = engine
    this.#options = options
  }

  get size(): number {
    return this.#entries.size
  }

  get listeners(): number {
    return this.#listening.size
  }

  accepts(port: number): boolean {
    return this.#listening.has(port) && this.#entries.size < STACK_LIMITS.connections
  }

  /** On every address. Throws SocketError (EADDRINUSE, ENOBUFS). */
  listen(port: number, onConnection: (connection: TcpConnection) => void): TcpListener {
    if (this.#listening.has(port)) throw new SocketError('listen', 'EADDRINUSE', `port ${port}`)
    if (this.#listening.size >= STACK_LIMITS.listeners) throw new SocketError('listen', 'ENOBUFS')
    const listener = this.#engine.run((module) => module.listen(port), 0)
    if (listener === 0) throw new SocketError('listen', 'EADDRINUSE', `port ${port}`)
    const listening = { listener, onConnection }
    this.#listening.set(port, listening)
    return {
      port,
      close: () => {
        if (this.#listening.get(port) !== listening) return
        this.#listening.delete(port)
        this.#engine.run((module) => module.stop_listening(listening.listener), 0)
      },
    }
  }

  /** A connection that opens; what hinders it at once is its error, as with Node's sockets. */
  connect(to: Endpoint): TcpConnection {
    const local = this.#options.addresses.first(addressFamily(to.address))
    const endpoints = {
      local: local ?? to.address,
      localPort: 0,
      remote: to.address,
      remotePort: to.port,
    }
    if (local === undefined) return this.#refused(endpoints, 'EADDRNOTAVAIL')
    if (this.#entries.size >= STACK_LIMITS.connections) return this.#refused(endpoints, 'ENOBUFS')
    const opened = this.#engine.run<TcpConnection | undefined>((module) => {
      module.putEndpoints(endpoints)
      const handle = module.connect()
      if (handle === 0) return undefined
      const isThere = module.describe(handle) !== 0
      return this.#add(handle, isThere ? module.takeEndpoints() : endpoints, true)
    }, undefined)
    return opened ?? this.#refused(endpoints, 'ENOBUFS')
  }

  accepted(handle: Handle, port: number): void {
    const endpoints = this.#engine.run<Endpoints | undefined>(
      (module) => (module.describe(handle) === 0 ? undefined : module.takeEndpoints()),
      undefined,
    )
    const onConnection = this.#listening.get(port)?.onConnection
    if (endpoints !== undefined && onConnection !== undefined) {
      onConnection(this.#add(handle, endpoints, false))
      return
    }
    this.#engine.run((module) => module.abort(handle), 0)
    this.#engine.release(handle)
  }

  opened(handle: Handle): void {
    this.#entries.get(handle)?.connection.opened()
  }

  received(handle: Handle, data: Uint8Array): void {
    this.#entries.get(handle)?.connection.arrived(data)
  }

  ended(handle: Handle): void {
    this.#entries.get(handle)?.connection.ended()
  }

  sent(handle: Handle): void {
    this.#entries.get(handle)?.connection.drained()
  }

  failed(handle: Handle, failure: Failure): void {
    this.#entries.get(handle)?.connection.failed(failure)
  }

  /** Resets the connections from addresses that are no longer ours. */
  leave(isOurs: (address: IpAddress) => boolean): void {
    for (const { connection } of [...this.#entries.values()]) {
      if (isOurs(connection.localAddress)) continue
      connection.destroy(new SocketError('read', 'ECONNABORTED', connection.localAddress))
    }
  }

  /** The module was begun anew. */
  restarted(): void {
    const entries = [...this.#entries.values()]
    this.#entries.clear()
    this.#granted = 0
    for (const { connection } of entries) connection.failed('reset')
    for (const [port, listening] of this.#listening)
      listening.listener = this.#engine.run((module) => module.listen(port), 0)
  }

  dispose(): void {
    for (const { connection } of [...this.#entries.values()])
      connection.destroy(new SocketError('read', 'ECONNABORTED'))
  }

  #refused(endpoints: Endpoints, code: 'EADDRNOTAVAIL' | 'ENOBUFS'): TcpConnection {
    const port = { send: () => 0, finish: () => {}, consumed: () => {}, close: () => {} }
    const connection = new TcpConnection(endpoints, { ...port, defer: this.#options.defer }, true)
    const about = { address: endpoints.remote, port: endpoints.remotePort }
    connection.destroy(new SocketError('connect', code, about))
    return connection
  }

  #add(handle: Handle, endpoints: Endpoints, isConnecting: boolean): TcpConnection {
    const { window } = this.#share()
    const entry: Entry = {
      window: newReceiveWindow(window, this.#options.clock.monotonicMs()),
      connection: new TcpConnection(
        endpoints,
        {
          send: (bytes) => this.#send(handle, bytes),
          finish: () => this.#engine.run((module) => module.finish(handle), 0),
          consumed: (bytes) => this.#consumed(handle, entry, bytes),
          close: (reset) => this.#close(handle, entry, reset),
          defer: this.#options.defer,
        },
        isConnecting,
      ),
    }
    this.#entries.set(handle, entry)
    this.#granted += window
    this.#share()
    return entry.connection
  }

  #share(): ReturnType<typeof firstShares> {
    const shares = firstShares(this.#entries.size)
    this.#engine.run((module) => module.set_memory(shares.inFlight, shares.window), 0)
    return shares
  }

  #send(handle: Handle, bytes: Uint8Array): number {
    return this.#engine.run((module) => {
      const part = bytes.subarray(0, Math.min(DATA_BYTES, module.room(handle, bytes.length)))
      module.put(part, 0)
      return part.length === 0 ? 0 : module.enqueue(handle, part.length)
    }, 0)
  }

  #consumed(handle: Handle, entry: Entry, bytes: number): void {
    this.#engine.run((module) => {
      const before = entry.window.size
      const use = {
        bytes,
        roundTripMs: module.round_trip(handle) / 1000,
        spare: STACK_LIMITS.memory - this.#granted,
      }
      entry.window = windowAfter(entry.window, use, this.#options.clock.monotonicMs())
      this.#granted += entry.window.size - before
      return module.consumed(handle, bytes, entry.window.size)
    }, 0)
  }

  #close(handle: Handle, entry: Entry, reset: boolean): void {
    if (this.#entries.get(handle) !== entry) return
    this.#entries.delete(handle)
    this.#granted -= entry.window.size
    if (reset) this.#engine.run((module) => module.abort(handle), 0)
    this.#engine.release(handle)
    this.#share()
  }
}
