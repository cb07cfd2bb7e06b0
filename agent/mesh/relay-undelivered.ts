/** Undelivered: the newest datagram for each device that no relay reached, sent again for a while: the other
 *  end may be just starting, and WireGuard would not send its first message again for 5 s. A device that stays away is
 *  off, more likely: from then on the same few seconds take a third of the datagrams, and after half a minute a sixth. */
import type { Cancellable, Clock } from '../../protocol/clock.ts'
import type { DeviceId } from '../../protocol/keys.ts'

/** For so long. Milliseconds. */
const KEPT_MS = 3000
/** Between two of them; doubling where the device was sought so long before. Milliseconds. */
const RETRY_MS = 150
/** The first wait where so many were sought with in vain, one after the other. */
const LONG_AWAY = 6
const LONG_AWAY_RETRY_MS = 750

interface Kept {
  readonly datagram: Uint8Array
  /** Milliseconds that have passed. */
  ageMs: number
  timer: Cancellable | undefined
}

export class Undelivered {
  readonly #kept = new Map<DeviceId, Kept>()
  /** Sought in vain with so many datagrams, and not heard of since. */
  readonly #away = new Map<DeviceId, number>()
  readonly #clock: Pick<Clock, 'after'>
  readonly #sendByAll: (to: DeviceId, datagram: Uint8Array) => boolean

  /** @param sendByAll by every relay, whatever they said; false where there is none */
  constructor(
    clock: Pick<Clock, 'after'>,
    sendByAll: (to: DeviceId, datagram: Uint8Array) => boolean,
  ) {
    this.#clock = clock
    this.#sendByAll = sendByAll
  }

  keep(to: DeviceId, datagram: Uint8Array): void {
    this.#kept.get(to)?.timer?.cancel()
    this.#kept.set(to, { datagram: Uint8Array.from(datagram), ageMs: 0, timer: undefined })
  }

  /** The device is reached, or is a peer no more. */
  forget(to: DeviceId): void {
    this.#away.delete(to)
    this.#drop(to)
  }

  /** What is kept for the device, if anything, is sent again in a while. */
  retry(to: DeviceId): void {
    const kept = this.#kept.get(to)
    if (kept === undefined || kept.timer !== undefined) return
    if (kept.ageMs >= KEPT_MS) {
      this.#away.set(to, (this.#away.get(to) ?? 0) + 1)
      this.#drop(to)
      return
    }
    const { ageMs } = kept
    const waitMs = waitOf(ageMs, this.#away.get(to) ?? 0)
    kept.timer = this.#clock.after(waitMs, () => {
      kept.timer = undefined
      kept.ageMs += waitMs
      if (!this.#sendByAll(to, kept.datagram)) this.retry(to)
    })
  }

  #drop(to: DeviceId): void {
    this.#kept.get(to)?.timer?.cancel()
    this.#kept.delete(to)
  }

  stop(): void {
    for (const { timer } of this.#kept.values()) timer?.cancel()
    this.#kept.clear()
  }
}

/** Milliseconds. */
function waitOf(ageMs: number, inVain: number): number {
  if (inVain === 0) return RETRY_MS
  const firstMs = inVain < LONG_AWAY ? RETRY_MS : LONG_AWAY_RETRY_MS
  return Math.min(Math.max(firstMs, ageMs), KEPT_MS - ageMs)
}
