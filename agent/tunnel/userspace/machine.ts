/** Machine: WireGuard as a whole, without sockets: datagrams, packets, time and randomness in; datagrams, packets and
 *  the next deadline out. */
import type { AgreementKeyPair, AgreementPublicKey } from '../../../crypto/agreement.ts'
import { toHex, wipe } from '../../../crypto/bytes.ts'
import type { RandomBytes } from '../../../crypto/random.ts'
import type { Endpoint, Prefix } from '../../../protocol/address.ts'
import type { Clock } from '../../../protocol/clock.ts'
import { unreachable } from '../../../protocol/errors.ts'
import { AllowedIps } from './allowed-ips.ts'
import { MacReader } from './cookies.ts'
import { Deadlines } from './deadlines.ts'
import { Indices } from './indices.ts'
import { type IpLayout, ipLayout, trimmed } from './ip-packet.ts'
import { Load } from './load.ts'
import { COOKIE_REPLY, INDEX_BYTES, messageKind, RESPONSE, readUint32 } from './messages.ts'
import { openInitiation } from './noise.ts'
import { Peer, type PeerContext } from './peer.ts'
import { Timestamps } from './tai64n.ts'
import { fitting } from './too-big.ts'

export interface MachineOptions {
  readonly clock: Pick<Clock, 'now' | 'nowMs' | 'monotonicMs'>
  readonly random: RandomBytes
  /** One datagram in parts, which belong to the receiver. */
  send(datagram: readonly Uint8Array[], to: Endpoint): void
  /** An IP packet that a peer may send, or what is to be said about one of ours. */
  deliver(packet: Uint8Array): void
}

/** What of a peer can be set; undefined leaves it as it is. */
export interface PeerSettings {
  readonly endpoint?: Endpoint | undefined
  /** Seconds, 0 is off. */
  readonly persistentKeepalive?: number | undefined
  /** 32 bytes; zeroes are none. */
  readonly presharedKey?: Uint8Array | undefined
}

export class Machine {
  readonly allowedIps = new AllowedIps<Peer>()
  readonly #options: MachineOptions
  readonly #peers = new Map<string, Peer>()
  readonly #indices: Indices<Peer>
  readonly #timestamps = new Timestamps()
  readonly #load = new Load()
  readonly #deadlines = new Deadlines<Peer>((peer) => peer.nextMs())
  #own: { readonly keys: AgreementKeyPair; readonly macs: MacReader } | undefined
  #mtu = Number.POSITIVE_INFINITY

  constructor(options: MachineOptions) {
    this.#options = options
    this.#indices = new Indices(options.random)
  }

  get privateKey(): AgreementKeyPair | undefined {
    return this.#own?.keys
  }

  /** Handshakes and sessions that there are. */
  get indicesInUse(): number {
    return this.#indices.size
  }

  /** Ends all sessions. */
  setPrivateKey(keys: AgreementKeyPair): void {
    this.#own = { keys, macs: new MacReader(keys.publicKey, this.#options.random) }
    for (const peer of this.#peers.values()) {
      peer.identityChanged(this.#nowMs())
      this.#deadlines.changed(peer)
    }
  }

  /** Bytes, of the largest packet. */
  setMtu(mtu: number): void {
    this.#mtu = mtu
  }

  peers(): Iterable<Peer> {
    return this.#peers.values()
  }

  peer(publicKey: AgreementPublicKey): Peer | undefined {
    return this.#peers.get(toHex(publicKey))
  }

  /** Of a peer that is new, or there. */
  setPeer(publicKey: AgreementPublicKey, settings: PeerSettings): void {
    const key = toHex(publicKey)
    const peer = this.#peers.get(key) ?? this.#newPeer(publicKey)
    this.#peers.set(key, peer)
    const { endpoint, persistentKeepalive, presharedKey } = settings
    if (endpoint !== undefined) peer.setEndpoint(endpoint)
    if (presharedKey !== undefined) peer.handshake.setPresharedKey(presharedKey)
    if (persistentKeepalive !== undefined) peer.setKeepalive(persistentKeepalive, this.#nowMs())
    this.#deadlines.changed(peer)
  }

  /** Nothing happens if there is none. */
  removePeer(publicKey: AgreementPublicKey): void {
    const peer = this.peer(publicKey)
    if (peer === undefined) return
    this.#peers.delete(toHex(publicKey))
    this.allowedIps.forget(peer)
    this.#deadlines.forget(peer)
    peer.end()
  }

  /** Forgets all peers and their keys. */
  end(): void {
    for (const { publicKey } of [...this.#peers.values()]) this.removePeer(publicKey)
    this.#own = undefined
  }

  /** Nothing happens if there is no such peer. */
  allow(publicKey: AgreementPublicKey, prefixes: readonly Prefix[]): void {
    const peer = this.peer(publicKey)
    if (peer !== undefined) for (const prefix of prefixes) this.allowedIps.give(prefix, peer)
  }

  disallow(publicKey: AgreementPublicKey, prefixes: readonly Prefix[]): void {
    const peer = this.peer(publicKey)
    if (peer !== undefined) for (const prefix of prefixes) this.allowedIps.take(prefix, peer)
  }

  /** From now on the peer may send from these prefixes too, which others have, for so many milliseconds, and from no
   *  others that it does not have. Nothing happens if there is no such peer. */
  allowLate(publicKey: AgreementPublicKey, prefixes: readonly Prefix[], forMs: number): void {
    const peer = this.peer(publicKey)
    if (peer !== undefined) this.allowedIps.setLate(peer, prefixes, this.#nowMs() + forMs)
  }

  /** An IP packet for the mesh, which is the machine's from now on. False: no packet, or nobody's. One that is larger
   *  than the path is cut, or its sender told so: by a packet that is delivered before this returns. */
  outgoing(packet: Uint8Array): boolean {
    const layout = ipLayout(packet)
    if (layout === undefined || this.#own === undefined) return false
    const peer = this.allowedIps.ownerAt(layout.version, packet, layout.destination)
    if (peer === undefined) return false
    const mtu = Math.min(this.#mtu, peer.mtu)
    if (packet.length <= mtu) peer.send(packet, this.#nowMs())
    else this.#outgoingLarge(packet, layout, peer, mtu)
    this.#deadlines.changed(peer)
    return true
  }

  #outgoingLarge(packet: Uint8Array, layout: IpLayout, peer: Peer, mtu: number): void {
    const fit = fitting(packet, layout, mtu)
    if (fit.kind === 'notice') this.#options.deliver(fit.packet)
    else for (const part of fit.packets) peer.send(part, this.#nowMs())
  }

  /** A datagram from the network: any bytes. It is the machine's from now on. */
  incoming(datagram: Uint8Array, from: Endpoint): void {
    const kind = messageKind(datagram)
    switch (kind) {
      case 'transport':
        this.#transport(datagram, from)
        return
      case 'initiation':
      case 'response':
        this.#handshake(kind, datagram, from)
        return
      case 'cookie-reply':
        this.#indices
          .at(readUint32(datagram, COOKIE_REPLY.receiver[0]))
          ?.peer.handshake.takeCookie(datagram, this.#nowMs())
        return
      case undefined:
        return
      default:
        unreachable(kind)
    }
  }

  /** When `onTime` is due, on the monotonic clock, milliseconds; Infinity for never. */
  nextMs(): number {
    return this.#deadlines.nextMs()
  }

  onTime(): void {
    const nowMs = this.#nowMs()
    for (
      let peer = this.#deadlines.takeDue(nowMs);
      peer !== undefined;
      peer = this.#deadlines.takeDue(nowMs)
    ) {
      peer.onTime(nowMs)
      this.#deadlines.changed(peer)
    }
  }

  #nowMs(): number {
    return this.#options.clock.monotonicMs()
  }

  #transport(datagram: Uint8Array, from: Endpoint): void {
    const entry = this.#indices.at(readUint32(datagram, INDEX_BYTES))
    if (entry?.keypair === undefined) return
    entry.peer.receiveTransport(entry.keypair, datagram, from, this.#nowMs())
    this.#deadlines.changed(entry.peer)
  }

  /** Cheap refusals first: what is not for us, then what comes too fast from who has not proved its address. */
  #handshake(kind: 'initiation' | 'response', datagram: Uint8Array, from: Endpoint): void {
    const own = this.#own
    if (own === undefined || !own.macs.isForUs(datagram)) return
    const nowMs = this.#nowMs()
    if (this.#load.isUnder(nowMs)) {
      if (!own.macs.hasCookie(datagram, from, nowMs)) {
        this.#options.send([own.macs.reply(datagram, from, nowMs)], from)
        return
      }
      if (!this.#load.allows(from.address, nowMs)) return
    }
    const peer =
      kind === 'initiation'
        ? this.#initiation(own.keys, datagram, from, nowMs)
        : this.#response(datagram, from, nowMs)
    if (peer !== undefined) this.#deadlines.changed(peer)
  }

  #initiation(
    own: AgreementKeyPair,
    datagram: Uint8Array,
    from: Endpoint,
    nowMs: number,
  ): Peer | undefined {
    const opened = openInitiation(own, datagram)
    if (opened === undefined) return undefined
    const peer = this.peer(opened.sender)
    if (peer === undefined) wipe(opened.chainingKey)
    else peer.receiveInitiation(opened, from, datagram.length, nowMs)
    return peer
  }

  #response(datagram: Uint8Array, from: Endpoint, nowMs: number): Peer | undefined {
    const receiver = readUint32(datagram, RESPONSE.receiver[0])
    const peer = this.#indices.at(receiver)?.peer
    peer?.receiveResponse(datagram, receiver, from, nowMs)
    return peer
  }

  #newPeer(publicKey: AgreementPublicKey): Peer {
    const { clock, random, send } = this.#options
    const [timestamps, indices] = [this.#timestamps, this.#indices]
    const context: PeerContext = {
      own: () => this.#own?.keys,
      random,
      timestamps,
      wallMs: () => clock.nowMs(),
      now: () => clock.now(),
      mtu: () => this.#mtu,
      drawIndex: () => indices.draw(peer),
      freeIndex: (index) => indices.free(index),
      bindIndex: (keypair) => indices.bind(peer, keypair),
      send,
      deliver: (packet) => this.#deliver(packet, peer),
    }
    const peer: Peer = new Peer(context, publicKey)
    return peer
  }

  /** Only what the peer may send goes on (whitepaper §2): its source is one of its allowed IPs, or was a moment ago. */
  #deliver(packet: Uint8Array, peer: Peer): void {
    const layout = ipLayout(packet)
    if (layout === undefined) return
    const { version, source } = layout
    if (!this.allowedIps.maySend(peer, version, packet, source, this.#nowMs())) return
    const whole = trimmed(packet, layout)
    if (whole !== undefined) this.#options.deliver(whole)
  }
}
