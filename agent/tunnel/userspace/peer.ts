/** Peer: sessions, timers and waiting packets of one peer (whitepaper §6). Pure: what goes out, it hands to its
 *  context. The events and expirations are those of Linux's and wireguard-go's timers. */
import type { AgreementPublicKey } from '../../../crypto/agreement.ts'
import { type Endpoint, sameEndpoint } from '../../../protocol/address.ts'
import { unreachable } from '../../../protocol/errors.ts'
import { type Seconds, seconds } from '../../../protocol/time.ts'
import {
  KEEPALIVE_TIMEOUT_MS,
  MOST_JITTER_MS,
  QUEUED_PACKETS,
  REJECT_AFTER_MS,
  REKEY_ATTEMPT_MS,
  REKEY_TIMEOUT_MS,
  ZERO_AFTER_MS,
} from './constants.ts'
import { Handshake, type HandshakeContext } from './handshake.ts'
import { Keypair } from './keypair.ts'
import { Keypairs } from './keypairs.ts'
import type { OpenedInitiation, TransportKeys } from './noise.ts'
import { type TimerName, Timers } from './timers.ts'

export interface PeerContext extends HandshakeContext {
  /** Wall time. */
  now(): Seconds
  /** Bytes, beyond which packets are not filled up. */
  mtu(): number
  send(datagram: readonly Uint8Array[], to: Endpoint): void
  /** A packet of the peer's, filled up as it came; may be anything. */
  deliver(packet: Uint8Array): void
  bindIndex(keypair: Keypair): void
}

const EMPTY = new Uint8Array(0)

export class Peer {
  readonly publicKey: AgreementPublicKey
  readonly handshake: Handshake
  readonly #context: PeerContext
  readonly #timers = new Timers()
  readonly #keypairs: Keypairs
  #endpoint: Endpoint | undefined
  #mtu = Number.POSITIVE_INFINITY
  #keepaliveSeconds = 0
  #queue: Uint8Array[] = []
  #jitterMs = 0
  #attemptSinceMs = 0
  #owesAnotherKeepalive = false
  #hasRenewedLate = false
  #latestHandshake = seconds(0)
  #receivedBytes = 0
  #sentBytes = 0

  constructor(context: PeerContext, publicKey: AgreementPublicKey) {
    this.#context = context
    this.publicKey = publicKey
    this.handshake = new Handshake(context, publicKey)
    this.#keypairs = new Keypairs(({ localIndex }) => context.freeIndex(localIndex))
  }

  get endpoint(): Endpoint | undefined {
    return this.#endpoint
  }

  /** Seconds, 0 is off. */
  get persistentKeepalive(): number {
    return this.#keepaliveSeconds
  }

  get counters(): {
    readonly latestHandshake: Seconds
    readonly receivedBytes: number
    readonly sentBytes: number
  } {
    const latestHandshake = this.#latestHandshake
    return { latestHandshake, receivedBytes: this.#receivedBytes, sentBytes: this.#sentBytes }
  }

  /** Bytes of the largest packet to it; Infinity: whatever the machine's is. */
  get mtu(): number {
    return this.#mtu
  }

  setMtu(mtu: number = Number.POSITIVE_INFINITY): void {
    this.#mtu = mtu
  }

  setEndpoint(endpoint: Endpoint): void {
    this.#endpoint = endpoint
  }

  /** Turning it on sends a packet at once. */
  setKeepalive(intervalSeconds: number, nowMs: number): void {
    const wasOff = this.#keepaliveSeconds === 0
    this.#keepaliveSeconds = intervalSeconds
    if (intervalSeconds === 0) this.#timers.clear('persistent-keepalive')
    else if (wasOff) this.#sendKeepalive(nowMs)
    else this.#timers.set('persistent-keepalive', nowMs + intervalSeconds * 1000)
  }

  /** Milliseconds; Infinity for never. */
  nextMs(): number {
    return this.#timers.nextMs()
  }

  onTime(nowMs: number): void {
    for (let due = this.#timers.takeDue(nowMs); due; due = this.#timers.takeDue(nowMs)) {
      this.#expired(due, nowMs)
    }
  }

  /** By the session that there is, or as soon as there is one. */
  send(packet: Uint8Array, nowMs: number): void {
    const keypair = this.#keypairs.current
    if (keypair?.canSend(nowMs)) {
      this.#transmit(keypair, packet, nowMs)
      return
    }
    this.#queue.push(packet)
    if (this.#queue.length > QUEUED_PACKETS) this.#queue.shift()
    this.#initiate(nowMs, 'first')
  }

  receiveInitiation(opened: OpenedInitiation, from: Endpoint, bytes: number, nowMs: number): void {
    const answer = this.handshake.answer(opened, nowMs)
    if (answer === undefined) return
    this.#received(bytes, from, nowMs)
    this.#begin(answer.keys, false, nowMs)
    this.#emit([answer.message], nowMs)
  }

  receiveResponse(message: Uint8Array, receiver: number, from: Endpoint, nowMs: number): void {
    const keys = this.handshake.complete(message, receiver)
    if (keys === undefined) return
    this.#received(message.length, from, nowMs)
    this.#begin(keys, true, nowMs)
    this.#established(nowMs)
    // Shows the responder that we have the session, which it may use from now on.
    if (this.#queue.length === 0) this.#queue.push(EMPTY)
    this.#flush(nowMs)
  }

  receiveTransport(keypair: Keypair, message: Uint8Array, from: Endpoint, nowMs: number): void {
    if (!keypair.canReceive(nowMs)) return
    const packet = keypair.open(message)
    if (packet === undefined) return
    this.#received(message.length, from, nowMs)
    if (this.#keypairs.confirm(keypair)) {
      this.#established(nowMs)
      this.#flush(nowMs)
    }
    this.#renewLate(nowMs)
    if (packet.length === 0) return
    if (this.#timers.isSet('send-keepalive')) this.#owesAnotherKeepalive = true
    else this.#timers.set('send-keepalive', nowMs + KEEPALIVE_TIMEOUT_MS)
    this.#context.deliver(packet)
  }

  /** Our static key is another. */
  identityChanged(nowMs: number): void {
    this.#endSessions()
    this.handshake.forgetOwnKey()
    if (this.#keepaliveSeconds > 0) this.#sendKeepalive(nowMs)
  }

  /** The peer is no more: its sessions end, also one that is being made, and its keys are wiped; what waits is dropped. */
  end(): void {
    this.#endSessions()
    this.handshake.end()
  }

  #endSessions(): void {
    this.#timers.clearAll()
    this.#forgetSessions()
  }

  #forgetSessions(): void {
    this.#keypairs.clear()
    this.handshake.clear()
    this.#queue = []
  }

  #begin(keys: TransportKeys, isInitiator: boolean, nowMs: number): void {
    const keypair = new Keypair(keys, isInitiator, nowMs)
    this.#keypairs.add(keypair)
    this.#context.bindIndex(keypair)
    this.#timers.set('zero-keys', nowMs + ZERO_AFTER_MS)
  }

  #established(nowMs: number): void {
    this.#timers.clear('retransmit-handshake')
    this.#attemptSinceMs = nowMs
    this.#hasRenewedLate = false
    this.#latestHandshake = this.#context.now()
  }

  #flush(nowMs: number): void {
    const waiting = this.#queue
    this.#queue = []
    for (const packet of waiting) this.send(packet, nowMs)
  }

  #sendKeepalive(nowMs: number): void {
    const isWaiting = this.#queue.length > 0
    if (isWaiting) this.#initiate(nowMs, 'first')
    else this.send(EMPTY, nowMs)
  }

  #transmit(keypair: Keypair, packet: Uint8Array, nowMs: number): void {
    this.#emit(keypair.seal(packet, this.#context.mtu()), nowMs)
    if (packet.length > 0 && !this.#timers.isSet('new-handshake')) {
      const answeredWithinMs = KEEPALIVE_TIMEOUT_MS + REKEY_TIMEOUT_MS + this.#jitterMs
      this.#timers.set('new-handshake', nowMs + answeredWithinMs)
    }
    if (keypair.isDueToSend(nowMs)) this.#initiate(nowMs, 'first')
  }

  /** The first of an attempt, which somebody wants now, or one of its repetitions. */
  #initiate(nowMs: number, which: 'first' | 'again'): void {
    if (which === 'first') this.#attemptSinceMs = nowMs
    const message = this.handshake.initiate(nowMs)
    // What may not be sent yet is sent when it may: else nobody would, had the one before no timer.
    if (message === undefined && this.#timers.isSet('retransmit-handshake')) return
    this.#drawJitter()
    this.#timers.set('retransmit-handshake', nowMs + REKEY_TIMEOUT_MS + this.#jitterMs)
    if (message !== undefined) this.#emit([message], nowMs)
  }

  /** The initiator's: what is only received on it would let the session run out. */
  #renewLate(nowMs: number): void {
    const keypair = this.#keypairs.current
    if (this.#hasRenewedLate || keypair === undefined || !keypair.isInitiator) return
    const lateMs = REJECT_AFTER_MS - KEEPALIVE_TIMEOUT_MS - REKEY_TIMEOUT_MS
    if (nowMs - keypair.createdMs < lateMs) return
    this.#hasRenewedLate = true
    this.#initiate(nowMs, 'first')
  }

  #expired(timer: TimerName, nowMs: number): void {
    switch (timer) {
      case 'retransmit-handshake':
        if (nowMs - this.#attemptSinceMs >= REKEY_ATTEMPT_MS) this.#giveUp(nowMs)
        else this.#initiate(nowMs, 'again')
        return
      case 'send-keepalive':
        this.#sendKeepalive(nowMs)
        if (!this.#owesAnotherKeepalive) return
        this.#owesAnotherKeepalive = false
        this.#timers.set('send-keepalive', nowMs + KEEPALIVE_TIMEOUT_MS)
        return
      case 'new-handshake':
        this.#initiate(nowMs, 'first')
        return
      case 'persistent-keepalive':
        this.#sendKeepalive(nowMs)
        return
      case 'zero-keys':
        this.#forgetSessions()
        return
      default:
        unreachable(timer)
    }
  }

  #giveUp(nowMs: number): void {
    this.#timers.clear('send-keepalive')
    this.#queue = []
    if (!this.#timers.isSet('zero-keys')) this.#timers.set('zero-keys', nowMs + ZERO_AFTER_MS)
  }

  /** Something authentic came: the peer is where it came from. */
  #received(bytes: number, from: Endpoint, nowMs: number): void {
    if (!sameEndpoint(from, this.#endpoint)) this.#endpoint = from
    this.#receivedBytes += bytes
    this.#timers.clear('new-handshake')
    this.#passed(nowMs)
  }

  #emit(datagram: readonly Uint8Array[], nowMs: number): void {
    this.#timers.clear('send-keepalive')
    this.#passed(nowMs)
    if (this.#endpoint === undefined) return
    for (const { length } of datagram) this.#sentBytes += length
    this.#context.send(datagram, this.#endpoint)
  }

  #passed(nowMs: number): void {
    if (this.#keepaliveSeconds === 0) return
    this.#timers.set('persistent-keepalive', nowMs + this.#keepaliveSeconds * 1000)
  }

  #drawJitter(): void {
    const [high = 0, low = 0] = this.#context.random(2)
    this.#jitterMs = ((high << 8) | low) % (MOST_JITTER_MS + 1)
  }
}
