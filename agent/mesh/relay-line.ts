/** Relay line: this device's stream to one relay, the UDP session beside it, and whether they live. */
import { equal, toHex } from '../../crypto/bytes.ts'
import type { Clock } from '../../protocol/clock.ts'
import { encodeRelayFrame, type RelayFrame } from '../../protocol/relay.ts'
import {
  controlFrame,
  isControl,
  PING_BYTES,
  parseControl,
  parseUdpControl,
  type RelayControl,
  TOKEN_BYTES,
  type UdpOffer,
} from '../../protocol/relay-control.ts'
import { relayedKind } from '../../protocol/relay-datagram.ts'
import { UDP_DATAGRAM_BYTES } from '../../protocol/relay-udp.ts'
import {
  beat,
  isDoubted,
  isInUse,
  NEW_PULSE,
  type PulseInput,
  type RelayPulse,
  type Way,
  waysOf,
} from './relay-pulse.ts'
import type { RelayStream } from './relay-stream.ts'
import {
  isSameSession,
  NO_CHALLENGE,
  openRelayUdpSocket,
  type RelayHost,
  type RelayUdpSocket,
} from './relay-udp-socket.ts'

/** Pings remembered; an answer to an older one is none. */
const PINGS = 16

export interface RelayLineOptions {
  /** Undefined: no UDP this way, for the stream goes through others. */
  readonly host: RelayHost | undefined
  readonly clock: Clock
  random(length: number): Uint8Array
  onFrame(frame: RelayFrame): void
}

interface Ping {
  readonly way: Way
  readonly sentMs: number
  readonly echo: Uint8Array
}

export class RelayLine {
  readonly #options: RelayLineOptions
  readonly #stream: RelayStream
  readonly #pings = new Map<string, Ping>()
  #pulse: RelayPulse = NEW_PULSE
  #socket: RelayUdpSocket | undefined
  #challenge: Uint8Array = NO_CHALLENGE
  /** What the stream had no room for. */
  #unsaid: RelayControl | undefined

  constructor(stream: RelayStream, options: RelayLineOptions) {
    this.#stream = stream
    this.#options = options
  }

  isOpen(): boolean {
    return this.#stream.isOpen()
  }

  isDoubted(): boolean {
    return isDoubted(this.#pulse, this.#nowMs())
  }

  isInUse(): boolean {
    return isInUse(this.#pulse, this.#nowMs())
  }

  by(): 'udp' | 'tcp' {
    return waysOf(this.#pulse).includes('udp') ? 'udp' : 'tcp'
  }

  /** False where neither way took it. */
  send(frame: RelayFrame): boolean {
    if (relayedKind(frame.datagram) === 'wireguard') this.#give({ kind: 'used' })
    return waysOf(this.#pulse).filter((way) => this.#sendBy(way, frame)).length > 0
  }

  /** What the stream brought. Throws MalformedError where the relay says what can't be. */
  received(frame: RelayFrame): void {
    this.#give({ kind: 'heard', way: 'stream' })
    this.#taken(frame, 'stream')
  }

  /** To be called every tenth of a second while it is in use, and once after. */
  tick(): void {
    this.#give({ kind: 'tick' })
    if (this.#unsaid !== undefined) this.#say(this.#unsaid)
  }

  close(): void {
    this.#socket?.close()
    this.#socket = undefined
    this.#give({ kind: 'withdrawn' })
  }

  /** What UDP is too small for, or does not take, goes by the stream. */
  #sendBy(way: Way, frame: RelayFrame): boolean {
    const fits = frame.datagram.length <= UDP_DATAGRAM_BYTES
    if (way === 'udp' && fits && this.#socket?.send(frame) === true) return true
    return this.#stream.send(encodeRelayFrame(frame))
  }

  #taken(frame: RelayFrame, way: Way): void {
    if (!isControl(frame)) {
      if (relayedKind(frame.datagram) === 'wireguard') this.#give({ kind: 'used' })
      this.#options.onFrame(frame)
      return
    }
    const parse = way === 'udp' ? parseUdpControl : parseControl
    const control = parse(frame.datagram)
    if (control !== undefined) this.#told(control, way)
  }

  #told(control: RelayControl, way: Way): void {
    switch (control.kind) {
      case 'ping':
        this.#say({ ...control, kind: 'pong', challenge: NO_CHALLENGE })
        break
      case 'pong':
        this.#ponged(control, way)
        break
      case 'udp-offer':
        if (way === 'stream') this.#offered(control)
        break
      case 'udp-use':
        break
      default:
        control satisfies never
    }
  }

  #ponged({ token, challenge }: RelayControl & { readonly kind: 'pong' }, way: Way): void {
    const ping = this.#pings.get(toHex(token))
    if (ping === undefined || ping.way !== way) return
    this.#pings.delete(toHex(token))
    if (way === 'udp') this.#challenge = challenge
    const isProof = equal(challenge, ping.echo)
    this.#give({ kind: 'pong', way, roundTripMs: this.#nowMs() - ping.sentMs, isProof })
  }

  #offered(offer: UdpOffer): void {
    const { host } = this.#options
    if (host === undefined) return
    if (offer.port === 0) {
      this.#socket?.close()
      this.#socket = undefined
      this.#give({ kind: 'withdrawn' })
      return
    }
    if (!isSameSession(this.#socket, offer)) {
      this.#socket?.close()
      this.#challenge = NO_CHALLENGE
      this.#socket = openRelayUdpSocket(host, offer, (frame) => {
        this.#give({ kind: 'heard', way: 'udp' })
        this.#taken(frame, 'udp')
      })
    }
    this.#give({ kind: 'offered' })
  }

  #give(input: PulseInput): void {
    const { pulse, actions } = beat(this.#pulse, input, this.#nowMs())
    this.#pulse = pulse
    for (const action of actions) {
      if (action.kind === 'use') this.#say({ kind: 'udp-use', use: action.use })
      else this.#ping(action.way, action.isFull)
    }
  }

  #ping(way: Way, isFull: boolean): void {
    const token = this.#options.random(TOKEN_BYTES)
    const echo = way === 'udp' ? this.#challenge : NO_CHALLENGE
    const oldest = this.#pings.keys().next()
    if (this.#pings.size >= PINGS && oldest.done !== true) this.#pings.delete(oldest.value)
    this.#pings.set(toHex(token), { way, sentMs: this.#nowMs(), echo })
    const length = isFull ? UDP_DATAGRAM_BYTES : PING_BYTES
    const frame = controlFrame({ kind: 'ping', token, echo, length })
    if (way === 'udp') this.#socket?.send(frame)
    else this.#stream.send(encodeRelayFrame(frame))
  }

  #say(control: RelayControl): void {
    const isTaken = this.#stream.send(encodeRelayFrame(controlFrame(control)))
    if (control.kind === 'udp-use') this.#unsaid = isTaken ? undefined : control
  }

  #nowMs(): number {
    return this.#options.clock.monotonicMs()
  }
}
