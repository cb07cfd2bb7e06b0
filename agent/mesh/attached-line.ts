/** Attached line: this device's UDP session at a relay where it has no stream yet (SPEC §12.7), and whether it lives. */
import { equal } from '../../crypto/bytes.ts'
import type { Cancellable, Clock } from '../../protocol/clock.ts'
import type { RelayFrame } from '../../protocol/relay.ts'
import {
  controlFrame,
  isControl,
  PING_BYTES,
  parseUdpControl,
  TOKEN_BYTES,
} from '../../protocol/relay-control.ts'
import { relayedKind } from '../../protocol/relay-datagram.ts'
import { UDP_DATAGRAM_BYTES } from '../../protocol/relay-udp.ts'
import { NO_CHALLENGE, type RelayUdpSocket } from './relay-udp-socket.ts'

/** Milliseconds between pings while datagrams of users flow, and else; then NATs keep the mapping, too. */
const PING_MS = { used: 1000, idle: 10_000 } as const
/** Milliseconds after a datagram of users. */
const IN_USE_MS = 5000
/** Milliseconds after which a ping without an answer makes the relay doubted, and one that it lost its session. */
const LATE_MS = 1000
const DEAD_MS = 25_000
/** Pings of the full size without an answer after which the relay is used where there is no other. */
const FULL_TRIES = 3

export interface AttachedLineOptions {
  readonly clock: Clock
  random(length: number): Uint8Array
  onFrame(frame: RelayFrame): void
  /** It has fallen silent, or answers again. */
  onDoubt(): void
  /** Nothing has come for too long. */
  onDead(): void
}

export class AttachedLine {
  readonly #socket: RelayUdpSocket
  readonly #options: AttachedLineOptions
  readonly #ticking: Cancellable
  #token: Uint8Array = NO_CHALLENGE
  /** Of the full size: a ping beside others, until one was answered. */
  #full = { token: NO_CHALLENGE, tries: 0, sentMs: -Infinity, isProved: false }
  #pingedMs = -Infinity
  /** The first ping since something was heard; Infinity: there is none. */
  #askedMs = Infinity
  #challenge: Uint8Array = NO_CHALLENGE
  #heardMs: number
  #usedMs = -Infinity
  #wasDoubted = false
  #isClosed = false

  /** Claims the session by a ping. */
  constructor(socket: RelayUdpSocket, options: AttachedLineOptions) {
    this.#socket = socket
    this.#options = options
    this.#heardMs = this.#nowMs()
    this.#ticking = options.clock.every(PING_MS.used, () => this.#tick())
    this.#ping()
  }

  isOpen(): boolean {
    return !this.#isClosed
  }

  /** It is silent, or too narrow for the largest datagrams. */
  isDoubted(): boolean {
    const { tries, sentMs, isProved } = this.#full
    const isNarrow = !isProved && tries >= FULL_TRIES && this.#nowMs() - sentMs >= LATE_MS
    return this.isSilent() || isNarrow
  }

  isSilent(): boolean {
    return this.#nowMs() - this.#askedMs >= LATE_MS
  }

  /** False where the socket has no room, or the datagram is larger than any that UDP carries. */
  send(frame: RelayFrame): boolean {
    if (frame.datagram.length > UDP_DATAGRAM_BYTES) return false
    if (relayedKind(frame.datagram) === 'wireguard') this.#usedMs = this.#nowMs()
    return !this.#isClosed && this.#socket.send(frame)
  }

  /** What the session brought. */
  received(frame: RelayFrame): void {
    if (this.#isClosed) return
    this.#heardMs = this.#nowMs()
    this.#askedMs = Infinity
    if (!isControl(frame)) {
      if (relayedKind(frame.datagram) === 'wireguard') this.#usedMs = this.#heardMs
      this.#options.onFrame(frame)
      return
    }
    const control = parseUdpControl(frame.datagram)
    if (control?.kind !== 'pong') return
    this.#full.isProved ||= equal(control.token, this.#full.token)
    if (!equal(control.token, this.#token)) return
    const isNew = !equal(control.challenge, this.#challenge)
    this.#challenge = control.challenge
    // The relay sends nothing to this address before it is proved.
    if (isNew) this.#ping()
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#ticking.cancel()
    this.#socket.send(controlFrame({ kind: 'udp-use', use: 'off' }))
    this.#socket.close()
  }

  #tick(): void {
    if (this.#isClosed) return
    const nowMs = this.#nowMs()
    if (nowMs - this.#heardMs >= DEAD_MS) {
      this.#options.onDead()
      return
    }
    const isDoubted = this.isDoubted()
    if (isDoubted !== this.#wasDoubted) {
      this.#wasDoubted = isDoubted
      this.#options.onDoubt()
    }
    const isUsed = nowMs - this.#usedMs < IN_USE_MS
    if (isUsed || isDoubted || this.#isTryingFull() || nowMs - this.#pingedMs >= PING_MS.idle)
      this.#ping()
  }

  #isTryingFull(): boolean {
    return !this.#full.isProved && this.#full.tries < FULL_TRIES
  }

  /** The first claims the session. One of the full size is missed by nobody: it may be lost for its size. */
  #ping(): void {
    const isFirst = this.#pingedMs === -Infinity
    this.#token = this.#options.random(TOKEN_BYTES)
    this.#pingedMs = this.#nowMs()
    this.#askedMs = Math.min(this.#askedMs, this.#pingedMs)
    this.#say(this.#token, PING_BYTES)
    if (isFirst || !this.#isTryingFull()) return
    const token = this.#options.random(TOKEN_BYTES)
    this.#full = { ...this.#full, token, tries: this.#full.tries + 1, sentMs: this.#pingedMs }
    this.#say(token, UDP_DATAGRAM_BYTES)
  }

  #say(token: Uint8Array, length: number): void {
    const ping = { kind: 'ping', token, echo: this.#challenge, length } as const
    this.#socket.send(controlFrame(ping))
  }

  #nowMs(): number {
    return this.#options.clock.monotonicMs()
  }
}
