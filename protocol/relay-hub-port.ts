/** Hub port: one member's stream at a relay, and the UDP session that was offered on it. */
import type { Cancellable, Clock } from './clock.ts'
import { Pace } from './pace.ts'
import { encodeRelayFrame, type RelayFrame } from './relay.ts'
import {
  type Ask,
  controlFrame,
  isControl,
  parseControl,
  parseUdpControl,
  type UdpOffer,
} from './relay-control.ts'
import { RefusedBytes } from './relay-meter.ts'
import { type RelayPipe, RelayQueue, relayReader } from './relay-queue.ts'
import type { BoardPort } from './relay-switchboard.ts'
import { PINGS, RelayUdpSession, type UdpRoute } from './relay-udp-session.ts'

/** Milliseconds without UDP for a member that sent more than it may that way: a stream slows it down. */
export const BANNED_MS = 60_000

/** The stream as the relay uses it. */
export interface HubPipe extends RelayPipe {
  /** Ends the stream. */
  end(): void
  /** Nothing is read until `resume`. */
  pause(): void
  resume(): void
}

export interface HubPortOptions {
  readonly clock: Pick<Clock, 'monotonicMs' | 'after'>
  random(length: number): Uint8Array
  onFrame(frame: RelayFrame, way: 'udp' | 'stream'): void
  onSession(from: string | undefined, to: string | undefined): void
  /** A ping was one too many, and gets no answer. */
  onSurplusPing(bytes: number): void
}

export class HubPort<M> implements BoardPort<M> {
  readonly member: M
  readonly sinceMs: number
  readonly #queue: RelayQueue
  readonly #pipe: HubPipe
  readonly #options: HubPortOptions
  readonly #read: (arrived: Uint8Array) => void
  #session: RelayUdpSession | undefined
  #udpPort = 0
  #paused: Cancellable | undefined
  #banned: Cancellable | undefined
  readonly #pings = new Pace(PINGS)
  readonly #refused = new RefusedBytes()

  constructor(member: M, pipe: HubPipe, options: HubPortOptions) {
    this.member = member
    this.#pipe = pipe
    this.#options = options
    this.sinceMs = options.clock.monotonicMs()
    this.#queue = new RelayQueue(pipe)
    this.#read = relayReader((frame) => {
      if (isControl(frame)) this.#told(frame)
      else options.onFrame(frame, 'stream')
    })
  }

  /** What the stream brought. Throws MalformedError where the framing, or what is said in it, is broken. */
  receive(arrived: Uint8Array): void {
    this.#read(arrived)
  }

  drained(): void {
    this.#queue.drained()
  }

  /** By UDP where the client is reached so, else by the stream. */
  send(frame: RelayFrame): boolean {
    if (this.#session?.send(frame, this.#nowMs()) === true) return true
    return this.#queue.send(encodeRelayFrame(frame))
  }

  isOpen(): boolean {
    return this.#pipe.isOpen()
  }

  /** What the next datagram goes by. */
  by(): 'udp' | 'tcp' {
    return this.#session?.isUsed(this.#nowMs()) === true ? 'udp' : 'tcp'
  }

  offerUdp(port: number): void {
    this.#udpPort = port
    if (this.#banned !== undefined) return
    this.#replace(new RelayUdpSession(this.#options.random))
    this.#say(this.#session?.offer(port))
  }

  /** Reads nothing for so long. */
  pause(forMs: number): void {
    if (this.#paused !== undefined) return
    this.#pipe.pause()
    this.#paused = this.#options.clock.after(forMs, () => {
      this.#paused = undefined
      this.#pipe.resume()
    })
  }

  /** Bytes by UDP were more than it may send; as many again in one second end the session. */
  refused(bytes: number, bytesPerSecond: number): void {
    const isTooMuch = this.#refused.count(bytes, this.#nowMs()) >= bytesPerSecond
    if (!isTooMuch || this.#session === undefined) return
    const offer = this.#session.offer(0)
    this.#replace(undefined)
    this.#say({ ...offer, key: new Uint8Array(offer.key.length) })
    this.#banned = this.#options.clock.after(BANNED_MS, () => {
      this.#banned = undefined
      this.offerUdp(this.#udpPort)
    })
  }

  receiveUdp(bytes: Uint8Array, route: UdpRoute): void {
    const session = this.#session
    const opened = session?.open(bytes, route)
    if (session === undefined || opened === undefined) return
    const { frame, hasMoved } = opened
    if (!isControl(frame)) {
      if (hasMoved) this.#moved(session)
      this.#options.onFrame(frame, 'udp')
      return
    }
    // The pong brings the challenge of the new address.
    if (hasMoved) session.leave()
    const control = parseUdpControl(frame.datagram)
    if (control?.kind === 'ping' && this.#mayAnswer(control))
      route.send(session.pinged(control, route, this.#nowMs()))
  }

  /** Ends the stream: a newer one has taken its place. */
  end(): void {
    this.#pipe.end()
  }

  /** The stream has ended, and the session with it. */
  close(): void {
    this.#paused?.cancel()
    this.#banned?.cancel()
    this.#replace(undefined)
  }

  /** The client has another address, which it is asked to prove; meanwhile the stream is used. */
  #moved(session: RelayUdpSession): void {
    session.leave()
    this.#say(session.offer(this.#udpPort))
  }

  #replace(session: RelayUdpSession | undefined): void {
    this.#options.onSession(this.#session?.session, session?.session)
    this.#session = session
  }

  #say(offer: UdpOffer | undefined): void {
    if (offer !== undefined) this.#queue.send(encodeRelayFrame(controlFrame(offer)))
  }

  #told(frame: RelayFrame): void {
    const control = parseControl(frame.datagram)
    if (control?.kind === 'udp-use') this.#session?.use(control.use)
    if (control?.kind !== 'ping' || !this.#mayAnswer(control)) return
    const { token, length } = control
    const pong = controlFrame({ kind: 'pong', token, challenge: new Uint8Array(8), length })
    this.#queue.send(encodeRelayFrame(pong))
  }

  #mayAnswer({ length }: Ask): boolean {
    if (this.#pings.spend('all', 1, this.#nowMs())) return true
    this.#options.onSurplusPing(length)
    return false
  }

  #nowMs(): number {
    return this.#options.clock.monotonicMs()
  }
}
