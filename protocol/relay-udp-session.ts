/** Relay UDP session: the relay's side of one client's datagrams (SPEC §12.4). Pure: the shell owns the
 *  socket, and hands in time and randomness. */
import { equal, fromHex, toHex } from '../crypto/bytes.ts'
import type { RelayFrame } from './relay.ts'
import {
  type Ask,
  controlFrame,
  SESSION_BYTES,
  SESSION_KEY_BYTES,
  TOKEN_BYTES,
  type UdpOffer,
  type UdpUse,
} from './relay-control.ts'
import {
  openRelayDatagram,
  type SessionKey,
  sealRelayDatagram,
  UDP_DATAGRAM_BYTES,
} from './relay-udp.ts'
import { ReplayWindow } from './replay-window.ts'

/** Pings of one client that are answered: it sends four a second while it is used, and a pong is as long as its ping. */
export const PINGS = { burst: 32, perSecond: 8 } as const

/** Where a datagram came from, and the way back. */
export interface UdpRoute {
  /** Of one address, port and socket; for comparing. */
  readonly name: string
  /** Never waits: what the socket can't take is dropped. */
  send(bytes: Uint8Array): void
}

/** Milliseconds after its last ping for which a client is sent datagrams by UDP: one that uses UDP pings
 *  every half second. */
export const PINGED_MS = 3000
/** Datagrams of one session and direction; then the stream carries on, and a new session is offered. */
const COUNTERS = 2 ** 48

export class RelayUdpSession {
  readonly session: string
  readonly #key: Uint8Array
  readonly #random: (length: number) => Uint8Array
  readonly #window = new ReplayWindow()
  #sent = 0
  /** Whose address was proved by an echoed challenge. */
  #route: UdpRoute | undefined
  #challenge: { readonly bytes: Uint8Array; readonly route: string } | undefined
  #pingedMs = -Infinity
  #use: UdpUse = 'off'
  readonly #provedMs: number

  /** @param attached its keys where they were agreed on; else they are random, to be offered
   *  @param provedMs for how long after its last ping a client is sent datagrams, milliseconds */
  constructor(random: (length: number) => Uint8Array, attached?: SessionKey, provedMs = PINGED_MS) {
    this.#random = random
    this.session = attached?.session ?? toHex(random(SESSION_BYTES))
    this.#key = attached?.key ?? random(SESSION_KEY_BYTES)
    this.#provedMs = provedMs
  }

  offer(port: number): UdpOffer {
    return { kind: 'udp-offer', port, session: fromHex(this.session), key: this.#key }
  }

  /** Undefined of what is not authentic, or was had before. `hasMoved`: the newest, from another address
   *  than the one proved. */
  open(
    bytes: Uint8Array,
    route: UdpRoute,
  ): { readonly frame: RelayFrame; readonly hasMoved: boolean } | undefined {
    const opened = openRelayDatagram(this.#sessionKey(), 'to-relay', bytes)
    if (opened === undefined) return undefined
    const isNewest = this.#window.isNewest(opened.counter)
    if (!this.#window.take(opened.counter)) return undefined
    const hasMoved = isNewest && this.#route !== undefined && this.#route.name !== route.name
    return { frame: opened, hasMoved }
  }

  /** The pong, to be sent by `route` whether it is proved or not: it is as long as the ping. */
  pinged(ping: Ask, route: UdpRoute, nowMs: number): Uint8Array {
    if (this.#challenge?.route !== route.name) {
      this.#challenge = { bytes: this.#random(TOKEN_BYTES), route: route.name }
    } else if (equal(ping.echo, this.#challenge.bytes)) {
      this.prove(route, nowMs)
    }
    const { bytes: challenge } = this.#challenge
    const pong = controlFrame({ kind: 'pong', token: ping.token, challenge, length: ping.length })
    return this.#seal(pong)
  }

  /** That is the client's address: what came from there shows that it had what was sent there. */
  prove(route: UdpRoute, nowMs: number): void {
    this.#route = route
    this.#pingedMs = nowMs
  }

  use(use: UdpUse): void {
    this.#use = use
  }

  /** The address proved is left: nothing is sent there before another one is proved. */
  leave(): void {
    this.#route = undefined
    this.#pingedMs = -Infinity
  }

  /** By UDP where the client is reached so. False: it is to go by the stream, too or alone. */
  send(frame: RelayFrame, nowMs: number): boolean {
    const route = this.#route
    if (route === undefined || this.#use === 'off' || nowMs - this.#pingedMs >= this.#provedMs) {
      return false
    }
    if (frame.datagram.length > UDP_DATAGRAM_BYTES || this.#sent >= COUNTERS) return false
    route.send(this.#seal(frame))
    return this.#use === 'on'
  }

  isUsed(nowMs: number): boolean {
    return (
      this.#route !== undefined && this.#use !== 'off' && nowMs - this.#pingedMs < this.#provedMs
    )
  }

  #seal(frame: RelayFrame): Uint8Array {
    const counter = this.#sent
    this.#sent += 1
    return sealRelayDatagram(this.#sessionKey(), 'to-client', counter, frame)
  }

  #sessionKey(): SessionKey {
    return { session: this.session, key: this.#key }
  }
}
