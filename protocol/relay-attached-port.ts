/** Attached port: a member at a relay by UDP alone, until it has a stream there (SPEC §12.7). */
import type { Cancellable, Clock } from './clock.ts'
import { Pace } from './pace.ts'
import type { RelayFrame } from './relay.ts'
import type { Attached } from './relay-attaching.ts'
import { isControl, parseUdpControl } from './relay-control.ts'
import { RefusedBytes } from './relay-meter.ts'
import type { BoardPort } from './relay-switchboard.ts'
import { PINGS, RelayUdpSession, type UdpRoute } from './relay-udp-session.ts'

/** Milliseconds for which an answered request waits for its session's first datagram. */
const CLAIMED_MS = 5000
/** Milliseconds after its last datagram that a session ends, and for which a proved address is sent to. */
export const ATTACHED_MS = 30_000
/** Milliseconds between looks at whether it is a member still. */
const MEMBER_MS = 1000

export interface AttachedPortOptions {
  readonly clock: Pick<Clock, 'monotonicMs' | 'after'>
  random(length: number): Uint8Array
  /** Whence the request came, and where the answer went. */
  readonly asked: UdpRoute
  onFrame(frame: RelayFrame): void
  /** The first authentic datagram has come. */
  onClaimed(): void
  onSurplusPing(bytes: number): void
  /** It has sent too much. */
  onBanned(): void
  /** Once. */
  onEnd(): void
}

export class AttachedPort<M> implements BoardPort<M> {
  readonly member: M
  readonly session: string
  readonly sinceMs: number
  readonly #isMember: () => boolean
  readonly #options: AttachedPortOptions
  readonly #session: RelayUdpSession
  readonly #pings = new Pace(PINGS)
  readonly #refused = new RefusedBytes()
  #heardMs: number
  #lookedMs: number
  #isClaimed = false
  #isEnded = false
  #ending: Cancellable

  constructor({ member, keys, isMember }: Attached<M>, options: AttachedPortOptions) {
    this.member = member
    this.session = keys.session
    this.#isMember = isMember
    this.#options = options
    this.#session = new RelayUdpSession(options.random, keys, ATTACHED_MS)
    this.#session.use('on')
    this.sinceMs = this.#nowMs()
    this.#heardMs = this.sinceMs
    this.#lookedMs = this.sinceMs
    this.#ending = this.#endAfter(CLAIMED_MS)
  }

  isOpen(): boolean {
    return !this.#isEnded
  }

  by(): 'udp' {
    return 'udp'
  }

  send(frame: RelayFrame): boolean {
    return this.#isAdmitted() && this.#session.send(frame, this.#nowMs())
  }

  receiveUdp(bytes: Uint8Array, route: UdpRoute): void {
    const opened = this.#isAdmitted() ? this.#session.open(bytes, route) : undefined
    if (opened === undefined) return
    this.#heardMs = this.#nowMs()
    if (!this.#isClaimed) {
      this.#isClaimed = true
      // Who can make it has the relay's key, which went to that address alone: it is its own.
      if (route.name === this.#options.asked.name) this.#session.prove(route, this.#heardMs)
      this.#options.onClaimed()
    }
    const { frame, hasMoved } = opened
    if (hasMoved) this.#session.leave()
    if (!isControl(frame)) {
      this.#options.onFrame(frame)
      return
    }
    const control = parseUdpControl(frame.datagram)
    if (control?.kind === 'udp-use' && control.use === 'off') this.end()
    if (control?.kind !== 'ping') return
    if (!this.#pings.spend('all', 1, this.#heardMs)) this.#options.onSurplusPing(control.length)
    else route.send(this.#session.pinged(control, route, this.#heardMs))
  }

  /** It has no stream to be offered a session by. */
  offerUdp(): void {}

  pause(): void {}

  /** As much again in one second ends the session. */
  refused(bytes: number, bytesPerSecond: number): void {
    if (this.#refused.count(bytes, this.#nowMs()) < bytesPerSecond) return
    this.#options.onBanned()
    this.end()
  }

  end(): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#ending.cancel()
    this.#options.onEnd()
  }

  close(): void {
    this.end()
  }

  #isAdmitted(): boolean {
    if (this.#isEnded) return false
    const nowMs = this.#nowMs()
    if (nowMs - this.#lookedMs < MEMBER_MS) return true
    this.#lookedMs = nowMs
    if (this.#isMember()) return true
    this.end()
    return false
  }

  #endAfter(ms: number): Cancellable {
    return this.#options.clock.after(ms, () => {
      const leftMs = this.#isClaimed ? this.#heardMs + ATTACHED_MS - this.#nowMs() : 0
      if (leftMs <= 0) this.end()
      else this.#ending = this.#endAfter(leftMs)
    })
  }

  #nowMs(): number {
    return this.#options.clock.monotonicMs()
  }
}
