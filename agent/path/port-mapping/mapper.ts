/** Mapper: the shell around the machine of one address family: reads the routing table, asks the gateway,
 *  keeps one timer. */

import {
  type AddressFamily,
  type Endpoint,
  type IpAddress,
  sameEndpoint,
} from '../../../protocol/address.ts'
import type { Cancellable, Clock } from '../../../protocol/clock.ts'
import type { Log } from '../../../protocol/log.ts'
import { type Seconds, seconds } from '../../../protocol/time.ts'
import { explain } from '../../errors.ts'
import { type Gateway, readGateway } from '../../host/gateway.ts'
import type { Commands } from '../../host/run.ts'
import { within } from '../../within.ts'
import { type Announcement, isOf, startAnnouncements } from './announcements.ts'
import type { Ask } from './ask.ts'
import { isOfInternet } from './internet.ts'
import {
  INITIAL,
  type MapperAction,
  type MapperInput,
  nextMs,
  sameGateway,
  step,
} from './machine.ts'
import { MAPPING_PROTOCOLS, type MappingProtocol } from './mapping.ts'
import { askRound, type Round, renew, unmap } from './round.ts'

/** Milliseconds after each transmission: on a local network, whose loss is that of Wi-Fi. */
const WAITS_MS = [250, 500, 1000]
/** The same while nobody answers: a packet for each protocol. */
const SEEK_WAITS_MS = [1500]
/** Milliseconds that a stop waits for the gateway, twice at most. */
const STOP_MS = 1000
/** Until the routing table is read again where it could not be, milliseconds. */
const REREAD_MS = 30_000

export interface MapperOptions {
  readonly family: AddressFamily
  readonly listenPort: number
  readonly tunnelInterface: string
  /** 12 bytes (`Ask`). */
  readonly nonce: Uint8Array
  readonly commands: Commands
  onChange(): void
  readonly clock: Clock
  random(length: number): Uint8Array
  readonly log: Log
}

export interface PortMappingStatus {
  readonly family: AddressFamily
  readonly gateway?: IpAddress
  readonly protocol?: MappingProtocol
  readonly external?: Endpoint
  /** Wall time. */
  readonly expires?: Seconds
  /** Why there is none, or why it could not be renewed yet; empty where all is well. */
  readonly reason: string
}

export class Mapper implements AsyncDisposable {
  readonly #options: MapperOptions
  readonly #stack = new AsyncDisposableStack()
  #state = INITIAL
  #timer: Cancellable | undefined
  #asking = new AbortController()
  #settled: Promise<unknown> = Promise.resolve()
  #reading: Promise<void> = Promise.resolve()
  #rereading: Cancellable | undefined
  #isEnded = false

  constructor(options: MapperOptions) {
    this.#options = options
  }

  /** Resolves when the gateway is known; the mapping comes later. */
  async start(): Promise<void> {
    const { family, log } = this.#options
    const onAnnouncement = (announcement: Announcement, from: string): void => {
      if (!isOf(this.#state.gateway, from)) return
      const [byte = 0] = this.#options.random(1)
      this.#give({ kind: 'announced', ...announcement, spread: byte / 256 })
    }
    this.#stack.use(await startAnnouncements({ family, onAnnouncement, log }))
    await this.networkChanged()
  }

  /** Reads the routing table anew. */
  networkChanged(): Promise<void> {
    this.#reading = this.#reading.then(() => this.#read())
    return this.#reading
  }

  /** Undefined where there is none. */
  get external(): Endpoint | undefined {
    return this.#state.held?.mapping.external
  }

  status(): PortMappingStatus {
    const { clock, family } = this.#options
    const { gateway, held, reason } = this.#state
    const leftMs = (held?.expiresMs ?? 0) - clock.monotonicMs()
    return {
      family,
      ...(gateway === undefined ? {} : { gateway: gateway.address }),
      ...(held === undefined
        ? {}
        : {
            protocol: held.mapping.protocol,
            external: held.mapping.external,
            expires: seconds(clock.now() + Math.round(leftMs / 1000)),
          }),
      reason,
    }
  }

  /** Removes the mapping at the gateway, which is waited for two seconds at most. */
  async [Symbol.asyncDispose](): Promise<void> {
    const { clock } = this.#options
    await this.#reading
    await within(this.#settled, STOP_MS, clock)
    this.#isEnded = true
    this.#timer?.cancel()
    this.#rereading?.cancel()
    this.#asking.abort()
    const { gateway, held, isPresent } = this.#state
    if (gateway !== undefined && held !== undefined && isPresent) {
      const stop = new AbortController()
      const ask = this.#ask(gateway, WAITS_MS, stop.signal)
      const removal = unmap(ask, held.mapping).catch((error) => this.#unmapFailed(error))
      await within(removal, STOP_MS, clock)
      stop.abort()
    }
    await this.#stack.disposeAsync()
  }

  #unmapFailed(error: unknown): void {
    this.#options.log('debug', 'port-mapping.removal-failed', { reason: explain(error) })
  }

  async #read(): Promise<void> {
    const { commands, family, tunnelInterface, log } = this.#options
    let gateway: Gateway | undefined
    try {
      gateway = await readGateway(commands, family, tunnelInterface)
    } catch (error) {
      // That it can't be read does not mean that there is none.
      log('debug', 'port-mapping.gateway-unknown', { reason: explain(error) })
      this.#rereading?.cancel()
      this.#rereading = this.#options.clock.after(REREAD_MS, () => void this.networkChanged())
      return
    }
    if (gateway !== undefined && !sameGateway(gateway, this.#state.gateway)) this.#asking.abort()
    this.#give({ kind: 'gateway', gateway })
  }

  #give(input: MapperInput): void {
    if (this.#isEnded) return
    const { clock, onChange } = this.#options
    const nowMs = clock.monotonicMs()
    const before = this.external
    const { state, actions } = step(this.#state, input, nowMs)
    this.#state = state
    for (const action of actions) this.#act(action)
    this.#timer?.cancel()
    const dueMs = nextMs(this.#state)
    if (dueMs !== Infinity) {
      this.#timer = clock.after(Math.max(0, dueMs - nowMs), () => this.#give({ kind: 'tick' }))
    }
    if (!sameEndpoint(before, this.external)) onChange()
  }

  #act(action: MapperAction): void {
    if (action.kind === 'log') {
      // Where only a firewall could be opened: few speak PCP, and nothing is to be done about it.
      const isFirewall = this.#protocols().length === 1
      const isNoNews = isFirewall && action.event === 'port-mapping.unavailable'
      this.#options.log(isNoNews ? 'debug' : action.level, action.event, action.fields)
      return
    }
    this.#asking = new AbortController()
    const { signal } = this.#asking
    if (action.kind === 'renew') {
      const ask = this.#ask(action.gateway, WAITS_MS, signal)
      const result = renew(ask, action.mapping)
      this.#follow(result, result, signal)
      return
    }
    const ask = this.#ask(action.gateway, action.isThorough ? WAITS_MS : SEEK_WAITS_MS, signal)
    const { result, settled } = askRound(ask, this.#protocols())
    this.#follow(result, settled, signal)
  }

  /** Without a NAT there may be a firewall, for which there is PCP alone; NAT-PMP and UPnP are for private
   *  addresses (RFC 6886 §3). */
  #protocols(): readonly MappingProtocol[] {
    const source = this.#state.gateway?.source
    const isMapped = this.#options.family === 4 && (source === undefined || !isOfInternet(source))
    return isMapped ? MAPPING_PROTOCOLS : ['pcp']
  }

  /** What an ask of a gateway that was left says is not heard. */
  #follow(result: Promise<Round>, settled: Promise<unknown>, signal: AbortSignal): void {
    const heard = result
      .catch((error: unknown): Round => {
        this.#options.log('error', 'port-mapping.failed', { reason: explain(error) })
        return { kind: 'failed', failures: [] }
      })
      .then((round) => {
        if (!signal.aborted) this.#give({ kind: 'asked', round })
      })
    this.#settled = Promise.allSettled([this.#settled, heard, settled])
  }

  #ask(gateway: Gateway, waitsMs: readonly number[], signal: AbortSignal): Ask {
    const { listenPort, nonce, clock } = this.#options
    const random = (length: number): Uint8Array => this.#options.random(length)
    return { gateway, internalPort: listenPort, nonce, waitsMs, clock, random, signal }
  }
}
