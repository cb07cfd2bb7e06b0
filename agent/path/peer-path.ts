/** The paths to one peer: its machine, its handshake order and its loopback socket, and what the actions
 *  of the machine do. */
import { type Endpoint, sameEndpoint } from '../../protocol/address.ts'
import type { Cancellable } from '../../protocol/clock.ts'
import { seconds } from '../../protocol/time.ts'
import type { TunnelPeerStats } from '../tunnel/backend.ts'
import {
  completed,
  type HandshakeState,
  incoming,
  initialHandshake,
  outgoing,
  pathAppeared,
  repeat,
  repeatDueMs,
  repeatNow,
  wireguardMessage,
} from './handshake.ts'
import { type PathAction, type PathInput, step } from './machine.ts'
import { pairAt } from './pairs.ts'
import { perform } from './path-actions.ts'
import type { PathContext } from './path-context.ts'
import {
  holdMs,
  idleState,
  initialState,
  isBlocked,
  isSessionUp,
  type PathState,
} from './path-state.ts'
import { type PathStatus, routeOf, statusOf } from './path-status.ts'
import type { PathPeer } from './paths.ts'
import { openPeerTunnel, type PeerTunnel } from './peer-tunnel.ts'
import type { RelayCarrier } from './relay-carrier.ts'
import { nextTickMs } from './settle.ts'
import { newStatsInput } from './stats-input.ts'
import { PROOF_FRESH_MS } from './timing.ts'
import { type Activity, activityOf } from './tunnel-looks.ts'
import { waysOf } from './ways.ts'

/** The machine hears of a stream of datagrams so often, milliseconds: it need not see each. */
const FEED_SPACING_MS = 50
/** Looks at WireGuard after a handshake message passed, milliseconds: it may be done now. */
const LOOKS_MS = [20, 100, 300]

export class PeerPath {
  readonly #context: PathContext
  readonly #carrier: RelayCarrier
  readonly #tunnel: PeerTunnel
  readonly #inputOf: ReturnType<typeof newStatsInput>
  readonly #inputs: PathInput[] = []
  readonly #fedMs = new Map<string, number>()
  #peer: PathPeer
  #state: PathState
  #handshake: HandshakeState
  #timer: Cancellable | undefined
  #told: PathStatus
  #isStepping = false
  /** Of the last look at WireGuard: when, and what it showed. */
  #seenMs = -Infinity
  #latestHandshake = seconds(0)
  #isClosed = false

  /** @param isEager seek it now, not only when its first packet comes */
  constructor(
    context: PathContext,
    peer: PathPeer,
    carrier: RelayCarrier,
    { initiates, isEager }: { readonly initiates: boolean; readonly isEager: boolean },
  ) {
    const nowMs = context.clock.monotonicMs()
    this.#context = context
    this.#carrier = carrier
    this.#tunnel = openPeerTunnel(context.tunnel, peer, context.log, carrier, context.redirected)
    this.#inputOf = newStatsInput(context.clock, carrier.endpoint)
    this.#peer = peer
    this.#state = (isEager ? initialState : idleState)(initiates, peer.candidates, nowMs)
    this.#handshake = initialHandshake(initiates)
    this.#told = statusOf(this.#state, nowMs)
  }

  get peer(): PathPeer {
    return this.#peer
  }

  get state(): PathState {
    return this.#state
  }

  get status(): PathStatus {
    return statusOf(this.#state, this.#nowMs())
  }

  get hasSession(): boolean {
    return isSessionUp(this.#state, this.#nowMs())
  }

  /** How closely WireGuard is to be looked at. */
  get activity(): Activity {
    return activityOf(this.#state, this.#nowMs())
  }

  /** WireGuard's endpoint as it should be. */
  get endpoint(): Endpoint {
    return this.#state.told ?? this.#carrier.endpoint
  }

  /** Bytes that WireGuard has received of the peer; undefined where the last look is too long ago to tell, and where
   *  WireGuard has no session and so counts nothing, whatever arrives. */
  get receivedBytes(): number | undefined {
    if (this.#latestHandshake === 0) return undefined
    if (this.#nowMs() - this.#seenMs <= PROOF_FRESH_MS) return this.#state.bytes?.received
    this.#context.lookSoon(0)
    return undefined
  }

  /** Is this path left alone, for it does not carry WireGuard? Then the peer is to leave it, too. */
  isBlocked(endpoint: Endpoint): boolean {
    const pair = pairAt(this.#state.pairs, endpoint)
    return pair !== undefined && isBlocked(this.#state, pair, this.#nowMs())
  }

  start(): void {
    this.#tunnel.use(this.#carrier.endpoint)
    this.give({ kind: 'tick' })
  }

  update(peer: PathPeer): void {
    this.#peer = peer
    this.give({ kind: 'peer-candidates', candidates: peer.candidates })
  }

  /** One step of the machine for each input, in order, also for those that its own actions cause. */
  give(input: PathInput): void {
    this.#inputs.push(input)
    if (this.#isStepping || this.#isClosed) return
    this.#isStepping = true
    for (let next = this.#inputs.shift(); next !== undefined; next = this.#inputs.shift()) {
      const nowMs = this.#nowMs()
      const before = this.#state
      const { state, actions } = step(before, next, nowMs)
      this.#state = state
      if (routeOf(before).kind === 'none' && routeOf(state).kind !== 'none')
        this.#handshake = pathAppeared(this.#handshake, nowMs, holdMs(state))
      else if (isGoodNews(next) || (state.relay.available && !before.relay.available))
        this.#handshake = repeatNow(this.#handshake, nowMs, holdMs(state))
      for (const action of actions) this.#perform(action)
    }
    this.#isStepping = false
    if (input.kind === 'check-answered' && !isSessionUp(this.#state, this.#nowMs()))
      this.#lookSoon()
    this.#repeatHandshake()
    this.#tellStatus()
    this.#schedule()
  }

  /** WireGuard's `datagram` for the peer reached the loopback socket. */
  fromWireGuard(datagram: Uint8Array): void {
    if (this.#isClosed) return
    const message = wireguardMessage(datagram)
    const { state, send } = outgoing(this.#handshake, datagram, this.#nowMs(), holdMs(this.#state))
    this.#handshake = state
    if (send) this.#forward(datagram)
    if (message === 'initiation' || message === 'response') this.#lookSoon()
    if (message !== 'unknown' && message !== 'cookie') {
      this.#feed({ kind: 'wireguard-sent', message }, message)
    }
  }

  /** The peer's WireGuard `datagram` came by the relay. */
  fromRelay(datagram: Uint8Array): void {
    if (this.#isClosed) return
    const taken = incoming(this.#handshake, datagram, this.#nowMs())
    this.#handshake = taken.state
    if (taken.reply !== undefined) this.#context.sendRelayed(this.#peer, taken.reply)
    if (taken.inject) this.#carrier.inject(datagram)
    if (!isSessionUp(this.#state, this.#nowMs())) this.#lookSoon()
    this.#feed({ kind: 'relayed-datagram' }, 'relayed')
  }

  /** What WireGuard shows of the peer. */
  seen(stats: TunnelPeerStats): void {
    this.#seenMs = this.#nowMs()
    this.#latestHandshake = stats.latestHandshake
    const input = this.#inputOf(stats)
    if (input === undefined) return
    // A peer that was made anew has none, and could not even try.
    if (stats.endpoint === undefined) this.#tunnel.use(this.endpoint)
    const isNew = input.handshakeMs > this.#state.session.upMs
    if (isNew) this.#handshake = completed(this.#handshake)
    this.give(input)
    if (isNew) this.#context.onSession(this.#peer)
  }

  /** Resolves when the tunnel has nothing more to do for the peer. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#timer?.cancel()
    this.#carrier.close()
    await this.#tunnel.close()
  }

  #perform(action: PathAction): void {
    perform(action, {
      context: this.#context,
      peer: this.#peer,
      tunnel: this.#tunnel,
      loopback: this.#carrier.endpoint,
      latestHandshake: this.#latestHandshake,
      give: (input) => this.give(input),
    })
  }

  #nowMs(): number {
    return this.#context.clock.monotonicMs()
  }

  #feed(input: PathInput, stream: string): void {
    const nowMs = this.#nowMs()
    if (nowMs - (this.#fedMs.get(stream) ?? -Infinity) < FEED_SPACING_MS) {
      this.#repeatHandshake()
      this.#schedule()
      return
    }
    this.#fedMs.set(stream, nowMs)
    this.give(input)
  }

  #forward(datagram: Uint8Array): void {
    const { direct, relay } = waysOf(this.#state, this.#peer.candidates, datagram)
    for (const endpoint of direct) this.#context.sendDirect(this.#peer, datagram, endpoint)
    if (relay) this.#relay(datagram)
  }

  #relay(datagram: Uint8Array): void {
    const available = this.#context.sendRelayed(this.#peer, datagram)
    if (available !== this.#state.relay.available) this.give({ kind: 'relay', available })
  }

  /** A repeated initiation takes every way there is; the responder drops what it knows. */
  #repeatHandshake(): void {
    const { state, send, isRepeated } = repeat(this.#handshake, this.#nowMs())
    this.#handshake = state
    if (send === undefined) return
    this.#forward(send)
    if (isRepeated && routeOf(this.#state).kind === 'direct' && this.#state.relay.available) {
      this.#context.sendRelayed(this.#peer, send)
    }
    this.#lookSoon()
  }

  /** Where no way is known there is nothing to see before a check is answered. */
  #lookSoon(): void {
    if (routeOf(this.#state).kind === 'none') return
    for (const afterMs of LOOKS_MS) this.#context.lookSoon(afterMs)
  }

  #tellStatus(): void {
    const { status } = this
    const isSame =
      status.kind === this.#told.kind &&
      (status.kind !== 'direct' ||
        (this.#told.kind === 'direct' && sameEndpoint(status.endpoint, this.#told.endpoint)))
    if (isSame) return
    this.#told = status
    this.#context.onStatus(this.#peer, status)
  }

  #schedule(): void {
    this.#timer?.cancel()
    const nowMs = this.#nowMs()
    const nextMs = Math.min(nextTickMs(this.#state, nowMs), repeatDueMs(this.#handshake))
    if (this.#isClosed || !Number.isFinite(nextMs)) return
    const tick = (): void => this.give({ kind: 'tick' })
    this.#timer = this.#context.clock.after(Math.max(1, Math.ceil(nextMs - nowMs)), tick)
  }
}

/** The peer or a path to it has appeared: an initiation that was lost is worth repeating now. */
function isGoodNews({ kind }: PathInput): boolean {
  return ['check-answered', 'relay-check-answered', 'relay-check-received'].includes(kind)
}
