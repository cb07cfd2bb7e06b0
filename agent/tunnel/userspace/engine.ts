/** Engine: the machine on a real network: an underlay, a packet device, and one timer. */
import type { RandomBytes } from '../../../crypto/random.ts'
import { type Endpoint, formatEndpoint, type IpAddress } from '../../../protocol/address.ts'
import type { Cancellable, Clock } from '../../../protocol/clock.ts'
import type { Log } from '../../../protocol/log.ts'
import type { Datagram } from './bunch.ts'
import { Machine } from './machine.ts'
import { isWireGuard } from './messages.ts'
import type { PacketDevice } from './packet-device.ts'
import { Redirections } from './redirections.ts'
import type { SharedPort } from './shared-port.ts'
import type { OpenUnderlay, Underlay } from './underlay.ts'

export interface EngineOptions {
  readonly device: PacketDevice
  readonly openUnderlay: OpenUnderlay
  readonly clock: Clock
  readonly random: RandomBytes
  readonly log: Log
}

export class Engine implements SharedPort, AsyncDisposable {
  readonly machine: Machine
  readonly redirections: Redirections
  onOther: (datagram: Uint8Array, from: Endpoint) => void = () => undefined
  readonly #options: EngineOptions
  readonly #inside = new Map<IpAddress, (datagram: Uint8Array) => void>()
  /** By the text of the endpoint. */
  readonly #diverted = new Map<string, (datagram: Uint8Array) => void>()
  #underlay: Underlay | undefined
  #configured = ''
  #isTaking = false
  #timer: Cancellable | undefined
  #timerMs = Number.POSITIVE_INFINITY

  constructor(options: EngineOptions) {
    const { device, clock, random } = options
    this.redirections = new Redirections(clock)
    this.#options = options
    this.machine = new Machine({
      clock,
      random,
      send: (datagram, to) => this.#send(datagram, to),
      deliver: (packet) => this.#deliver(packet),
    })
    device.onPacket = (packet) => {
      this.#isTaking = true
      this.machine.outgoing(packet)
      this.#isTaking = false
      this.changed()
    }
  }

  /** 0 while none is bound. */
  get port(): number {
    return this.#underlay?.port ?? 0
  }

  /** Leaves the port that was bound, once the new one is. Throws what the system says where it is taken. */
  async bind(port: number): Promise<void> {
    const { openUnderlay, log } = this.#options
    const before = this.#underlay
    if (before !== undefined && before.port === port) return
    this.#underlay = await openUnderlay({
      port,
      onDatagram: (datagram, from) => this.arrived(datagram, from),
      log,
    })
    await before?.[Symbol.asyncDispose]()
  }

  /** Of the packets inside. */
  configure(settings: Parameters<PacketDevice['configure']>[0]): void {
    this.machine.setMtu(settings.mtu)
    const said = JSON.stringify(settings)
    if (said === this.#configured) return
    this.#configured = said
    this.#options.device.configure(settings)
  }

  sendOther(datagram: Uint8Array, to: Endpoint): boolean {
    return this.#leave([datagram], to)
  }

  divert(address: IpAddress, take: (datagram: Uint8Array) => void): void {
    this.#inside.set(address, take)
  }

  undivert(address: IpAddress): void {
    this.#inside.delete(address)
  }

  inject(datagram: Uint8Array, from: Endpoint): void {
    this.machine.incoming(datagram, from)
    this.changed()
  }

  divertEndpoint(remote: Endpoint, take: ((datagram: Uint8Array) => void) | undefined): void {
    if (take === undefined) this.#diverted.delete(formatEndpoint(remote))
    else this.#diverted.set(formatEndpoint(remote), take)
  }

  arrived(datagram: Uint8Array, from: Endpoint): void {
    if (isWireGuard(datagram)) this.inject(datagram, from)
    else this.onOther(datagram, from)
  }

  /** Something was asked of the machine: its deadline may have moved. */
  changed(): void {
    const nextMs = this.machine.nextMs()
    if (nextMs >= this.#timerMs) return
    this.#timer?.cancel()
    this.#timerMs = nextMs
    this.#timer = this.#options.clock.after(
      Math.max(0, nextMs - this.#options.clock.monotonicMs()),
      () => {
        this.#timerMs = Number.POSITIVE_INFINITY
        this.machine.onTime()
        this.changed()
      },
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#options.device.onPacket = () => undefined
    this.#timer?.cancel()
    this.#timerMs = Number.NEGATIVE_INFINITY
    this.machine.end()
    await this.#underlay?.[Symbol.asyncDispose]()
    this.#underlay = undefined
  }

  /** The device that gives a packet has not ended its own turn yet. */
  #deliver(packet: Uint8Array): void {
    const { device } = this.#options
    if (this.#isTaking) queueMicrotask(() => device.write(packet))
    else device.write(packet)
  }

  #send(datagram: Datagram, to: Endpoint): void {
    const take = this.#inside.get(to.address)
    if (take === undefined) this.#leave(datagram, this.redirections.of(to))
    else take(whole(datagram))
  }

  #leave(datagram: Datagram, to: Endpoint): boolean {
    const take = this.#diverted.size === 0 ? undefined : this.#diverted.get(formatEndpoint(to))
    if (take === undefined) return this.#underlay?.send(datagram, to) ?? false
    take(whole(datagram))
    return true
  }
}

function whole(datagram: Datagram): Uint8Array {
  return datagram.length === 1 && datagram[0] ? datagram[0] : Buffer.concat(datagram)
}
