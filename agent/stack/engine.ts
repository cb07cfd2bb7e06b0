/** Engine: the module and what moves it: packets, time, and events that are told once the module is at rest. */
import type { RandomBytes } from '../../crypto/random.ts'
import type { IpAddress } from '../../protocol/address.ts'
import type { Cancellable, Clock } from '../../protocol/clock.ts'
import type { Log } from '../../protocol/log.ts'
import { Pace } from '../../protocol/pace.ts'
import { STACK_LIMITS } from './limits.ts'
import {
  type Datagram,
  type Endpoints,
  type Failure,
  type Handle,
  type LwipModule,
  type ModuleEvents,
  newLwipModule,
} from './lwip/module.ts'

/** Told in order, when the module is at rest, but for `accepts` and `listens`, which must not call it. */
export interface EngineEvents {
  output(packet: Uint8Array): void
  accepts(port: number): boolean
  listens(port: number): boolean
  accepted(handle: Handle, port: number): void
  connected(handle: Handle): void
  received(handle: Handle, data: Uint8Array): void
  ended(handle: Handle): void
  sent(handle: Handle): void
  failed(handle: Handle, failure: Failure): void
  datagram(datagram: Datagram): void
  refused(endpoints: Endpoints): void
  echoed(from: IpAddress, id: number, sequence: number): void
  /** The module gave up on itself and was begun anew: no handle is good any more. */
  restarted(): void
}

export interface EngineOptions {
  /** Bytes. */
  readonly mtu: number
  readonly clock: Clock
  readonly random: RandomBytes
  readonly log: Log
  /** Of connections that send: BBR where it says nothing. */
  readonly congestionControl?: 'bbr' | 'cubic'
}

/** Milliseconds that a timer takes at least. */
const LEAST_WAIT_MS = 1

export class Engine {
  readonly #options: EngineOptions
  readonly #events: EngineEvents
  readonly #refusals = new Pace(STACK_LIMITS.refusals)
  #module: LwipModule
  #mtu: number
  #queue: (() => void)[] = []
  #released: Handle[] = []
  #depth = 0
  #isTelling = false
  #isDisposed = false
  #timer: { readonly atMs: number; readonly pending: Cancellable } | undefined

  constructor(options: EngineOptions, events: EngineEvents) {
    this.#options = options
    this.#events = events
    this.#mtu = options.mtu
    this.#module = this.#begin()
  }

  /** Works with the module, then tells what came of it. */
  run<T>(work: (module: LwipModule) => T, otherwise: T): T {
    if (this.#isDisposed) return otherwise
    this.#depth += 1
    try {
      return work(this.#module)
    } catch (error) {
      if (!(error instanceof WebAssembly.RuntimeError)) throw error
      this.#restart(error)
      return otherwise
    } finally {
      this.#depth -= 1
      if (this.#depth === 0) this.#tell()
    }
  }

  setMtu(mtu: number): void {
    this.#mtu = mtu
    this.run((module) => module.set_mtu(mtu), 0)
  }

  /** Frees a handle once all that was told of it has been heard: its number may be given anew. */
  release(handle: Handle): void {
    this.#released.push(handle)
    if (this.#depth === 0) this.#tell()
  }

  /** ICMP errors are counted, whoever has them sent. */
  maySendRefusal(): boolean {
    return this.#refusals.spend('refusals', 1, this.#options.clock.monotonicMs())
  }

  dispose(): void {
    this.#isDisposed = true
    this.#timer?.pending.cancel()
    this.#queue = []
  }

  #begin(): LwipModule {
    const module = newLwipModule(this.#moduleEvents(), this.#options.random)
    module.start(this.#mtu)
    module.set_cubic(this.#options.congestionControl === 'cubic' ? 1 : 0)
    module.set_limits(
      STACK_LIMITS.connections,
      STACK_LIMITS.connectionsOfPeer,
      STACK_LIMITS.halfOpen,
      STACK_LIMITS.halfOpenOfPeer,
    )
    return module
  }

  /** A failed assertion leaves the module in no state to go on with. */
  #restart(error: WebAssembly.RuntimeError): void {
    this.#options.log('error', 'stack.failed', { reason: error.message, at: error.stack })
    this.#queue = []
    this.#released = []
    this.#module = this.#begin()
    this.#queue.push(() => this.#events.restarted())
  }

  #moduleEvents(): ModuleEvents {
    const events = this.#events
    const later = (task: () => void) => void this.#queue.push(task)
    return {
      now: () => this.#options.clock.monotonicMs(),
      output: (packet) => {
        const copy = packet.slice()
        later(() => events.output(copy))
      },
      accepts: (handle, port) => {
        if (!events.accepts(port)) return false
        later(() => events.accepted(handle, port))
        return true
      },
      connected: (handle) => later(() => events.connected(handle)),
      received: (handle, data) => {
        const copy = data.slice()
        later(() => events.received(handle, copy))
      },
      ended: (handle) => later(() => events.ended(handle)),
      sent: (handle) => later(() => events.sent(handle)),
      failed: (handle, failure) => later(() => events.failed(handle, failure)),
      datagram: (datagram) => this.#datagram(datagram),
      refused: (endpoints) => later(() => events.refused(endpoints)),
      echoed: (from, id, sequence) => later(() => events.echoed(from, id, sequence)),
    }
  }

  /** Is it taken, or passed over in silence? */
  #datagram(datagram: Datagram): boolean {
    if (!this.#events.listens(datagram.localPort)) return !this.maySendRefusal()
    const copy = { ...datagram, data: datagram.data.slice() }
    this.#queue.push(() => this.#events.datagram(copy))
    return true
  }

  /** What is told may cause more to tell. */
  #tell(): void {
    if (this.#isTelling) return
    this.#isTelling = true
    try {
      while (this.#queue.length > 0 && !this.#isDisposed) {
        const tasks = this.#queue
        this.#queue = []
        for (const task of tasks) task()
      }
      for (const handle of this.#released.splice(0)) this.#module.release(handle)
      if (!this.#isDisposed) this.#schedule()
    } finally {
      this.#isTelling = false
    }
  }

  #schedule(): void {
    const sender = this.#module.next_sender()
    const timers = this.#module.next_timer() >>> 0
    const due = sender < 0 ? timers : Math.min(timers, sender / 1000)
    const waitMs = Math.max(due, LEAST_WAIT_MS)
    const atMs = this.#options.clock.monotonicMs() + waitMs
    if (this.#timer !== undefined && this.#timer.atMs <= atMs) return
    this.#timer?.pending.cancel()
    const pending = this.#options.clock.after(waitMs, () => {
      this.#timer = undefined
      this.run((module) => {
        module.timers()
        return module.run_senders()
      }, 0)
    })
    this.#timer = { atMs, pending }
  }
}
