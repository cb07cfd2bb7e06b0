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

interface Watched {
  readonly asker: Asker
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
    const { clock, prober, addressOf, onChange } = this.#options
    const ask = async (timeoutMs: number): Promise<number | undefined> => {
      const address = addressOf(device)
      return address === undefined ? undefined : prober.echo(address, timeoutMs)
    }
    const asker = new Asker({ clock, ask, onChange }, isAlways)
    const usedMs = isAlways ? Infinity : -Infinity
    this.#watched.set(device, { asker, isAlways, sentBytes: undefined, askedBefore: 0, usedMs })
  }

  /** Of one that is not watched the path tells what it knows. */
  reach(device: DeviceId): Reach {
    const path = this.#options.path(device)
    const { kind } = path
    const health = this.#watched.get(device)?.asker.health
    const roundTripMs =
      health?.roundTripMs ?? ('roundTripMs' in path ? path.roundTripMs : undefined)
    if (health === undefined || kind === 'offline')
      return { isUp: kind !== 'offline', sinceMs: health?.sinceMs ?? -Infinity, roundTripMs }
    // One that never answered an echo may be told not to: then its path speaks for it.
    const isMute = health.answeredMs === -Infinity && (kind === 'direct' || kind === 'relay')
    return { isUp: health.isUp || isMute, sinceMs: health.sinceMs, roundTripMs }
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

  [Symbol.dispose](): void {
    this.watch(new Set(), new Set())
  }
}
