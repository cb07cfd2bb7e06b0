/** WireGuard without its cryptography, for the virtual internet: the messages, the sessions and the timers of the
 *  whitepaper (§5, §6), the endpoint that roams to where the peer's last authentic message came from, counters. */
import type { Tunnel, TunnelPeerStats } from '../../../agent/tunnel/backend.ts'
import type { AgreementPublicKey } from '../../../crypto/agreement.ts'
import { toHex } from '../../../crypto/bytes.ts'
import type { Endpoint } from '../../../protocol/address.ts'
import type { Cancellable } from '../../../protocol/clock.ts'
import { seconds } from '../../../protocol/time.ts'
import type { VirtualClock } from '../virtual-clock.ts'
import { message, newPeer, type Peer, type Session } from './wireguard-peer.ts'

/** Whitepaper §6.1, milliseconds. */
const REKEY_AFTER_TIME_MS = 120_000
const REJECT_AFTER_TIME_MS = 180_000
const REKEY_ATTEMPT_TIME_MS = 90_000
const REKEY_TIMEOUT_MS = 5000
const KEEPALIVE_TIMEOUT_MS = 10_000
/** Packets of users that wait for a session. */
const STAGED = 128
const [INITIATION_BYTES, RESPONSE_BYTES, DATA_BYTES] = [148, 92, 32]

export class VirtualWireguard
  implements Pick<Tunnel, 'setEndpoint' | 'setKeepalive' | 'restartPeer' | 'stats'>
{
  readonly #clock: VirtualClock
  readonly #name: string
  readonly #peers = new Map<string, Peer>()
  readonly #send: (bytes: Uint8Array, to: Endpoint) => void
  readonly #receive: (from: string, payload: Uint8Array) => void
  readonly #ticking: Cancellable
  #index = 0

  /** @param name eight characters at most, unique */
  constructor(
    clock: VirtualClock,
    name: string,
    send: (bytes: Uint8Array, to: Endpoint) => void,
    receive: (from: string, payload: Uint8Array) => void,
  ) {
    this.#clock = clock
    this.#name = name
    this.#send = send
    this.#receive = receive
    this.#ticking = clock.every(250, () => this.#tick())
  }

  add(key: AgreementPublicKey, name: string, endpoint: Endpoint): void {
    this.#peers.set(toHex(key), newPeer(key, name, endpoint))
  }

  close(): void {
    this.#ticking.cancel()
    this.#peers.clear()
  }

  async setEndpoint(key: AgreementPublicKey, endpoint: Endpoint): Promise<void> {
    const peer = this.#peers.get(toHex(key))
    if (peer !== undefined) peer.endpoint = endpoint
  }

  async setKeepalive(key: AgreementPublicKey, interval: number): Promise<void> {
    const peer = this.#peers.get(toHex(key))
    if (peer === undefined) return
    const isTurnedOn = peer.keepaliveSeconds === 0 && interval > 0
    peer.keepaliveSeconds = interval
    if (isTurnedOn) this.#give(peer, new Uint8Array(0))
  }

  async restartPeer(key: AgreementPublicKey): Promise<void> {
    const peer = this.#peers.get(toHex(key))
    if (peer === undefined) return
    const { name, endpoint, keepaliveSeconds } = peer
    this.#peers.set(toHex(key), { ...newPeer(key, name, endpoint), keepaliveSeconds })
  }

  async stats(): Promise<readonly TunnelPeerStats[]> {
    return [...this.#peers.values()].map(({ key, endpoint, handshakeMs, bytes }) => ({
      publicKey: key,
      ...(endpoint && { endpoint }),
      latestHandshake: seconds(Math.floor(handshakeMs / 1000)),
      receivedBytes: bytes.received,
      sentBytes: bytes.sent,
    }))
  }

  /** A user's packet to a peer. */
  give(key: AgreementPublicKey, payload: Uint8Array): void {
    const peer = this.#peers.get(toHex(key))
    if (peer !== undefined) this.#give(peer, payload)
  }

  receive(bytes: Uint8Array, from: Endpoint): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    if (bytes.length < DATA_BYTES) return
    switch (bytes[0]) {
      case 1:
        this.#initiated(bytes, view, from)
        break
      case 2:
        this.#responded(bytes, view, from)
        break
      case 4:
        this.#transported(bytes, view, from)
        break
      default:
    }
  }

  #give(peer: Peer, payload: Uint8Array): void {
    const session = this.#usable(peer)
    if (session !== undefined) {
      this.#transport(peer, session, payload)
      if (session.isInitiator && this.#age(session) > REKEY_AFTER_TIME_MS) this.#initiate(peer)
      return
    }
    peer.staged = [...peer.staged, payload].slice(-STAGED)
    if (peer.attemptSinceMs === -Infinity) peer.attemptSinceMs = this.#nowMs
    this.#initiate(peer)
  }

  #usable({ current }: Peer): Session | undefined {
    return current !== undefined && this.#age(current) < REJECT_AFTER_TIME_MS ? current : undefined
  }

  #initiate(peer: Peer): void {
    if (this.#nowMs - peer.initiatedMs < REKEY_TIMEOUT_MS) return
    peer.initiatedMs = this.#nowMs
    this.#index += 1
    peer.awaited = this.#index
    const { bytes, view } = message(1, INITIATION_BYTES)
    view.setUint32(4, this.#index, true)
    view.setFloat64(12, this.#nowMs, true)
    bytes.set(new TextEncoder().encode(this.#name.padEnd(8)), 20)
    bytes.set(new TextEncoder().encode(peer.name.padEnd(8)), 28)
    this.#emit(peer, bytes)
  }

  #initiated(bytes: Uint8Array, view: DataView, from: Endpoint): void {
    const text = (offset: number): string =>
      new TextDecoder().decode(bytes.subarray(offset, offset + 8)).trim()
    const peer = [...this.#peers.values()].find(({ name }) => name === text(20))
    const stamp = view.getFloat64(12, true)
    if (peer === undefined || text(28) !== this.#name || stamp <= peer.stamp) return
    peer.stamp = stamp
    // Its own handshake is overwritten: a response to that is no longer understood.
    peer.awaited = undefined
    this.#heard(peer, bytes, from)
    this.#index += 1
    const session = {
      own: this.#index,
      theirs: view.getUint32(4, true),
      bornMs: this.#nowMs,
      isInitiator: false,
      sent: 0,
      seen: new Set<number>(),
    }
    peer.sessions = [...peer.sessions, session].slice(-3)
    const response = message(2, RESPONSE_BYTES)
    response.view.setUint32(4, session.own, true)
    response.view.setUint32(8, session.theirs, true)
    this.#emit(peer, response.bytes)
  }

  #responded(bytes: Uint8Array, view: DataView, from: Endpoint): void {
    const own = view.getUint32(8, true)
    const peer = [...this.#peers.values()].find(({ awaited }) => awaited === own)
    if (peer === undefined) return
    this.#heard(peer, bytes, from)
    const theirs = view.getUint32(4, true)
    const session: Session = {
      ...{ own, theirs, bornMs: this.#nowMs, isInitiator: true },
      ...{ sent: 0, seen: new Set() },
    }
    peer.sessions = [...peer.sessions, session].slice(-3)
    this.#up(peer, session)
    if (peer.staged.length === 0) peer.staged = [new Uint8Array(0)]
    this.#flush(peer, session)
  }

  #transported(bytes: Uint8Array, view: DataView, from: Endpoint): void {
    const own = view.getUint32(4, true)
    for (const peer of this.#peers.values()) {
      const session = peer.sessions.find((each) => each.own === own)
      if (session === undefined) continue
      const counter = view.getFloat64(8, true)
      if (this.#age(session) >= REJECT_AFTER_TIME_MS || session.seen.has(counter)) return
      session.seen.add(counter)
      this.#heard(peer, bytes, from)
      if (!session.isInitiator && (peer.current?.bornMs ?? -Infinity) < session.bornMs)
        this.#up(peer, session)
      if (bytes.length > DATA_BYTES) {
        peer.keepaliveDueMs = Math.min(peer.keepaliveDueMs, this.#nowMs + KEEPALIVE_TIMEOUT_MS)
        this.#receive(peer.name, bytes.subarray(DATA_BYTES))
      }
      if (peer.current !== undefined) this.#flush(peer, peer.current)
      return
    }
  }

  #heard(peer: Peer, bytes: Uint8Array, from: Endpoint): void {
    // As wireguard-go counts: no keepalives.
    if (bytes.length > DATA_BYTES) peer.bytes.received += bytes.length
    peer.endpoint = from
    peer.receivedMs = this.#nowMs
    peer.unansweredMs = Infinity
  }

  #up(peer: Peer, session: Session): void {
    peer.current = session
    peer.awaited = undefined
    peer.attemptSinceMs = -Infinity
    peer.handshakeMs = this.#clock.nowMs()
  }

  #flush(peer: Peer, session: Session): void {
    for (const payload of peer.staged.splice(0)) this.#transport(peer, session, payload)
  }

  #transport(peer: Peer, session: Session, payload: Uint8Array): void {
    const { bytes, view } = message(4, DATA_BYTES + payload.length)
    view.setUint32(4, session.theirs, true)
    view.setFloat64(8, session.sent++, true)
    bytes.set(payload, DATA_BYTES)
    peer.sentMs = this.#nowMs
    peer.keepaliveDueMs = Infinity
    if (payload.length > 0) peer.unansweredMs = Math.min(peer.unansweredMs, this.#nowMs)
    this.#emit(peer, bytes)
  }

  #emit(peer: Peer, bytes: Uint8Array): void {
    if (peer.endpoint === undefined) return
    peer.bytes.sent += bytes.length
    this.#send(bytes, peer.endpoint)
  }

  #tick(): void {
    const nowMs = this.#nowMs
    for (const peer of this.#peers.values()) {
      const session = this.#usable(peer)
      const persistentMs = peer.keepaliveSeconds * 1000
      const isPersistentDue =
        persistentMs > 0 && nowMs - Math.max(peer.sentMs, peer.receivedMs) >= persistentMs
      if (peer.keepaliveDueMs <= nowMs || isPersistentDue) this.#give(peer, new Uint8Array(0))
      if (nowMs - peer.unansweredMs >= KEEPALIVE_TIMEOUT_MS + REKEY_TIMEOUT_MS) this.#initiate(peer)
      if (session === undefined && peer.attemptSinceMs > -Infinity) this.#retry(peer)
    }
  }

  #retry(peer: Peer): void {
    if (this.#nowMs - peer.attemptSinceMs <= REKEY_ATTEMPT_TIME_MS) this.#initiate(peer)
    else {
      peer.attemptSinceMs = -Infinity
      peer.staged = []
    }
  }

  #age({ bornMs }: Session): number {
    return this.#nowMs - bornMs
  }

  get #nowMs(): number {
    return this.#clock.monotonicMs()
  }
}
