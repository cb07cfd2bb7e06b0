/** Reach watch: askers of the devices that somebody wants to know about: often while packets go to them, seldom else. */
import type { IpAddress } from '../../protocol/address.ts'
import type { Cancellable, Clock } from '../../protocol/clock.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import type { PathStatus } from '../path/path-status.ts'
import { Asker } from './asker.ts'
import type { Prober } from './prober.ts'

export interface ReachWatchOptions {
  readonly clock: Pick<Clock, 'monotonicMs' | 'after' | 'every'>
  readonly prober: Prober
  /** Its overlay address; undefined: it is no member. */
  addressOf(device: DeviceId): IpAddress | undefined
  /** Does the policy let an echo to it pass? */
  mayEcho(device: DeviceId): boolean
  path(device: DeviceId): PathStatus
  /** Bytes that WireGuard has sent to each. */
  sentBytes(): Promise<ReadonlyMap<DeviceId, number>>
  /** Somebody has gone up or down. */
  onChange(): void
}

/** How a device answers, as routes are judged by it. */
export interface Reach {
  readonly isUp: boolean
  /** Since when, milliseconds. */
  readonly sinceMs: number
  readonly roundTripMs: number | undefined
}

/** Milliseconds between looks at what WireGuard has sent, and for which a device counts as used after packets went. */
const LOOK_MS = 1000
const USED_FOR_MS = 15_000
/** Bytes of WireGuard's message with one of our echoes, and some: what is more is somebody's packets. */
const ECHO_MESSAGE_BYTES = 112
/** Devices asked at once. */
const WATCHED = 64
/** One that has answered and does so no more may be told not to, by a firewall of its own: asked anew where its path has
 *  worked for so long meanwhile, milliseconds, several times what a path is trusted for without an answer. */
export const SILENT_MS = 60_000

interface Watched {
  asker: Asker
  /** As the policy was when its asker began. */
  mayEcho: boolean
  /** Since when each look has seen its path work, milliseconds; Infinity: it does not. */
  carriedSinceMs: number
  isAlways: boolean
  sentBytes: number | undefined
  askedBefore: number
  usedMs: number
}

export class ReachWatch implements Disposable {
  readonly #options: ReachWatchOptions
  readonly #watched = new Map<DeviceId, Watched>()
  #looking: Cancellable | undefined

  constructor(options: ReachWatchOptions) {
    this.#options = options
  }

  /** @param always those asked often whether or not packets go to them */
  watch(devices: ReadonlySet<DeviceId>, always: ReadonlySet<DeviceId>): void {
    const wanted = new Set([...always, ...devices].slice(0, WATCHED))
    for (const [device, { asker }] of this.#watched) {
      if (wanted.has(device)) continue
      asker[Symbol.dispose]()
      this.#watched.delete(device)
    }
    for (const device of wanted) this.#add(device, always.has(device))
    if (this.#watched.size === 0) {
      this.#looking?.cancel()
      this.#looking = undefined
    } else this.#looking ??= this.#options.clock.every(LOOK_MS, () => void this.#look())
  }

  #add(device: DeviceId, isAlways: boolean): void {
    const known = this.#watched.get(device)
    if (known !== undefined) {
      known.isAlways = isAlways
      return
    }
    const usedMs = isAlways ? Infinity : -Infinity
    this.#watched.set(device, {
      ...{ asker: this.#newAsker(device, isAlways), mayEcho: this.#options.mayEcho(device) },
      ...{ isAlways, sentBytes: undefined, askedBefore: 0, usedMs, carriedSinceMs: Infinity },
    })
  }

  #newAsker(device: DeviceId, isUsed: boolean): Asker {
    const { clock, prober, addressOf, onChange } = this.#options
    const ask = async (timeoutMs: number): Promise<number | undefined> => {
      const address = addressOf(device)
      return address === undefined ? undefined : prober.echo(address, timeoutMs)
    }
    return new Asker({ clock, ask, onChange }, isUsed)
  }

  /** What it answered under another policy says nothing under this one. */
  #watchedNow(device: DeviceId): Watched | undefined {
    const watched = this.#watched.get(device)
    const mayEcho = this.#options.mayEcho(device)
    if (watched === undefined || watched.mayEcho === mayEcho) return watched
    watched.mayEcho = mayEcho
    this.#askAnew(device, watched)
    return watched
  }

  #askAnew(device: DeviceId, watched: Watched): void {
    watched.asker[Symbol.dispose]()
    watched.asker = this.#newAsker(device, this.isUsed(device))
  }

  /** Of one that is not watched the path tells what it knows. */
  reach(device: DeviceId): Reach {
    const path = this.#options.path(device)
    const { kind } = path
    const watched = this.#watchedNow(device)
    const health = watched?.asker.health
    const roundTripMs =
      health?.roundTripMs ?? ('roundTripMs' in path ? path.roundTripMs : undefined)
    const sinceMs = health?.sinceMs ?? -Infinity
    if (watched === undefined || kind === 'offline')
      return { isUp: kind !== 'offline', sinceMs, roundTripMs }
    return { isUp: watched.asker.health.isUp || isMute(watched, kind), sinceMs, roundTripMs }
  }

  /** Do packets go to it? */
  isUsed(device: DeviceId): boolean {
    const watched = this.#watched.get(device)
    if (watched === undefined) return false
    return watched.isAlways || watched.usedMs + USED_FOR_MS > this.#options.clock.monotonicMs()
  }

  async #look(): Promise<void> {
    // A tunnel that can't be looked at just now shows nothing new.
    const sent = await this.#options.sentBytes().catch(() => new Map<DeviceId, number>())
    const nowMs = this.#options.clock.monotonicMs()
    for (const [device, watched] of this.#watched) {
      this.#lookAtPath(device, watched, nowMs)
      const bytes = sent.get(device)
      if (bytes === undefined) continue
      // An echo may be asked for before one look, and be sent after it.
      const asked = watched.asker.takeAsked()
      const own = (asked + watched.askedBefore) * ECHO_MESSAGE_BYTES
      watched.askedBefore = asked
      if (bytes - (watched.sentBytes ?? bytes) > own) watched.usedMs = nowMs
      watched.sentBytes = bytes
      watched.asker.setUsed(this.isUsed(device))
    }
  }

  #lookAtPath(device: DeviceId, watched: Watched, nowMs: number): void {
    this.#watchedNow(device)
    const isCarried = carries(this.#options.path(device))
    watched.carriedSinceMs = isCarried ? Math.min(watched.carriedSinceMs, nowMs) : Infinity
    const { isUp, firstUnansweredMs } = watched.asker.health
    if (isUp || nowMs - Math.max(watched.carriedSinceMs, firstUnansweredMs) < SILENT_MS) return
    this.#askAnew(device, watched)
    this.#options.onChange()
  }

  [Symbol.dispose](): void {
    this.watch(new Set(), new Set())
  }
}

/** One that never answered an echo may be told not to: then its path speaks for it. Echoes that the policy forbids wake no
 *  path: one that rests is as good as one that works. */
function isMute({ asker, mayEcho }: Watched, path: PathStatus['kind']): boolean {
  if (path === 'direct' || path === 'relay')
    return !mayEcho || asker.health.answeredMs === -Infinity
  return path === 'idle' && !mayEcho
}

/** Checks pass that way, and so do WireGuard's packets. */
function carries(path: PathStatus): boolean {
  return path.kind === 'direct' || (path.kind === 'relay' && path.blocked === undefined)
}
