/** Sprayer: the shell around the spraying of an agent. Sockets, the timer and the punch stream are its; what is
 *  done when is the plan's. */
import { addressFamily, type Endpoint, formatEndpoint } from '../../../protocol/address.ts'
import type { Cancellable, Clock } from '../../../protocol/clock.ts'
import { unreachable } from '../../../protocol/errors.ts'
import type { DeviceId } from '../../../protocol/keys.ts'
import type { Log } from '../../../protocol/log.ts'
import type { Spray } from '../../../protocol/punch.ts'
import { explain } from '../../errors.ts'
import type { RecordedChecks } from '../check-record.ts'
import type { CheckPath } from '../checks.ts'
import { type DropCounter, newDropCounter } from '../drops.ts'
import type { PathState } from '../path-state.ts'
import type { PathPeer } from '../paths.ts'
import { FoundPaths, type SprayHost } from './found-paths.ts'
import { LOOK_MS, PROBES, SPRAY_SOCKETS } from './limits.ts'
import { sprayStep, tickAfterMs } from './plan.ts'
import { randomPorts } from './ports.ts'
import { openSpraySockets, type SpraySockets } from './sockets.ts'
import {
  NO_SPRAY,
  type SprayAction,
  type SprayFacts,
  type SprayInput,
  type SprayPeer,
  type SpraySide,
  type SprayState,
} from './spray-state.ts'
import { Traffic } from './traffic.ts'

export interface SprayerOptions {
  readonly host: SprayHost
  readonly checks: Pick<RecordedChecks, 'spray' | 'receive'>
  own(): SpraySide
  /** What the path machine knows of a peer. */
  stateOf(device: DeviceId): PathState | undefined
  /** The peer is to be checked at that endpoint, for it was heard from there. */
  heardFrom(device: DeviceId, endpoint: Endpoint): void
  /** By WireGuard's port. */
  send(datagram: Uint8Array, to: Endpoint): void
  say(device: DeviceId, spray: Spray): void
  /** Anything may be sent to any port of the address. */
  onProbing(address: Endpoint['address']): void
  /** Whence the sockets come; the system unless it is given. */
  readonly openSockets?: typeof openSpraySockets
  readonly clock: Clock
  random(length: number): Uint8Array
  readonly log: Log
}

export class Sprayer {
  readonly #options: SprayerOptions
  readonly #found: FoundPaths
  readonly #drops: DropCounter
  readonly #traffic = new Traffic()
  #peers: ReadonlyMap<DeviceId, PathPeer> = new Map()
  #state: SprayState = NO_SPRAY
  #sockets: SpraySockets | undefined
  /** To the message that met a mapping, where it wants one. */
  #answer: Uint8Array | undefined
  #timer: Cancellable | undefined
  #lookedMs = -Infinity
  #isClosed = false

  constructor(options: SprayerOptions) {
    this.#options = options
    this.#found = new FoundPaths(options.host, options.log)
    this.#drops = newDropCounter('path.spray-dropped', options.log)
    this.#schedule()
  }

  setPeers(peers: readonly PathPeer[]): void {
    this.#peers = new Map(peers.map((peer) => [peer.device, peer]))
    this.#traffic.keep((device) => this.#peers.has(device))
  }

  /** Words of a peer's punch. */
  told(device: DeviceId, spray: Spray): void {
    this.#give({ kind: 'told', device, spray })
  }

  /** A peer answered a check of ours. */
  answered(device: DeviceId, from: CheckPath): void {
    const { round } = this.#state
    if (round?.kind !== 'spraying' || typeof from === 'string') return
    this.#give({ kind: 'answered', device, from })
  }

  /** Is it an address that is being sprayed at? */
  isProbing({ address }: Endpoint): boolean {
    const { round } = this.#state
    return round?.kind === 'spraying' && round.address === address
  }

  close(): void {
    this.#isClosed = true
    this.#timer?.cancel()
    this.#sockets?.close()
    this.#found.close()
  }

  #give(input: SprayInput): void {
    if (this.#isClosed) return
    const nowMs = this.#options.clock.monotonicMs()
    const before = this.#state
    const { state, actions } = sprayStep(before, input, this.#facts(), nowMs)
    this.#state = state
    for (const action of actions) this.#perform(action, nowMs)
    if (input.kind === 'tick' || state.round?.kind !== before.round?.kind) this.#schedule()
  }

  #schedule(): void {
    this.#timer?.cancel()
    this.#timer = this.#options.clock.after(tickAfterMs(this.#state), () => {
      this.#count()
      this.#give({ kind: 'tick' })
    })
  }

  /** Looks at all peers' counters, once in a while. */
  #count(): void {
    const nowMs = this.#options.clock.monotonicMs()
    if (nowMs - this.#lookedMs < LOOK_MS) return
    this.#lookedMs = nowMs
    for (const device of this.#peers.keys()) {
      const bytes = this.#options.stateOf(device)?.bytes
      if (bytes !== undefined) this.#traffic.counted(device, bytes, nowMs)
    }
  }

  #facts(): SprayFacts {
    const { own, random } = this.#options
    const known = this.#peers
    const peer = (device: DeviceId): SprayPeer | undefined => this.#peer(device)
    return {
      get own() {
        return own()
      },
      *peers() {
        for (const device of known.keys()) {
          const one = peer(device)
          if (one !== undefined) yield one
        }
      },
      peer,
      ports: () => randomPorts(PROBES, random),
    }
  }

  #peer(device: DeviceId): SprayPeer | undefined {
    const known = this.#peers.get(device)
    const state = this.#options.stateOf(device)
    if (known === undefined || state === undefined) return undefined
    const { phase, phaseSinceMs } = state
    return {
      device,
      relayedMs: phase.kind === 'relayed' ? phaseSinceMs : Infinity,
      direct: phase.kind === 'direct' ? phase.endpoint : undefined,
      packetsMs: this.#traffic.packetsMs(device),
      candidates: known.candidates,
      nat: known.nat ?? [],
    }
  }

  #perform(action: SprayAction, nowMs: number): void {
    const { checks, send, say, heardFrom } = this.#options
    switch (action.kind) {
      case 'say':
        say(action.device, action.spray)
        break
      case 'open':
        void this.#open(action.device, action.target)
        break
      case 'send-openers':
        this.#sendOpeners(action, nowMs)
        break
      case 'send-probe': {
        const probe = checks.spray(action.device, action.to, nowMs)
        if (probe !== undefined) send(probe, action.to)
        break
      }
      case 'close':
        this.#closeSockets()
        break
      case 'hold':
        void this.#hold(action)
        break
      case 'release':
        void this.#found.release(action.device, action.endpoint)
        break
      case 'check':
        heardFrom(action.device, action.endpoint)
        break
      case 'report':
        this.#report(action)
        break
      default:
        unreachable(action)
    }
  }

  async #open(device: DeviceId, target: Endpoint): Promise<void> {
    try {
      const family = addressFamily(target.address)
      const { openSockets = openSpraySockets } = this.#options
      const sockets = await openSockets(family, SPRAY_SOCKETS, (index, datagram, from) =>
        this.#arrived(index, datagram, from),
      )
      this.#closeSockets()
      if (this.#isClosed) sockets.close()
      else this.#sockets = sockets
      this.#give({ kind: 'opened', device })
    } catch (error) {
      this.#give({ kind: 'failed', device, reason: explain(error) })
    }
  }

  #sendOpeners(
    { device, target, first, count }: SprayAction & { readonly kind: 'send-openers' },
    nowMs: number,
  ): void {
    for (let index = first; index < first + count; index++) {
      const opener = this.#options.checks.spray(device, target, nowMs)
      if (opener !== undefined) this.#sockets?.at(index)?.send(opener, target)
    }
  }

  /** What is no authentic message of the round's peer is dropped. */
  #arrived(socket: number, datagram: Uint8Array, from: Endpoint): void {
    const nowMs = this.#options.clock.monotonicMs()
    const received = this.#options.checks.receive(datagram, from, nowMs)
    if (received.kind === 'dropped') this.#drops.count(received.reason, nowMs)
    if (received.kind !== 'request' && received.kind !== 'answer') return
    this.#answer = received.kind === 'request' ? received.answer : undefined
    this.#give({ kind: 'hit', device: received.device, socket, from })
  }

  /** It is answered once WireGuard can be reached by it: its packets follow the answer at once. */
  async #hold({
    device,
    target,
    socket: index,
  }: SprayAction & { readonly kind: 'hold' }): Promise<void> {
    const answer = this.#answer
    const socket = this.#sockets?.keep(index)
    this.#sockets = undefined
    if (socket === undefined) return
    try {
      if (!(await this.#found.hold(device, target, socket)) || this.#isClosed) return
      if (answer !== undefined) socket.send(answer, target)
      this.#options.heardFrom(device, target)
    } catch (error) {
      const reason = explain(error)
      this.#options.log('warn', 'path.not-diverted', { endpoint: formatEndpoint(target), reason })
      this.#give({ kind: 'failed', device, reason })
    }
  }

  #closeSockets(): void {
    this.#sockets?.close()
    this.#sockets = undefined
  }

  #report({
    event,
    device,
    side,
    packets,
    ms,
    reason,
  }: SprayAction & { readonly kind: 'report' }): void {
    const { round } = this.#state
    if (event === 'started' && round?.kind === 'spraying') this.#options.onProbing(round.address)
    const peer = this.#peers.get(device)?.name
    // That nobody answers is no news.
    const level = event === 'failed' && packets === 0 ? 'debug' : 'info'
    this.#options.log(level, `path.spray-${event}`, {
      ...{ peer, side },
      ...(event === 'started' ? {} : { packets, ms: Math.round(ms) }),
      ...(reason === undefined ? {} : { reason }),
    })
  }
}
