/** Undelivered: the newest datagram for each device that no relay reached, sent again for a while: the other
 *  end may be just starting, and WireGuard would not send its first message again for 5 s. */
import type { Cancellable, Clock } from '../../protocol/clock.ts'
import type { DeviceId } from '../../protocol/keys.ts'

/** So often, so far apart. */
const RETRIES = 20
const RETRY_MS = 150

interface Kept {
  readonly datagram: Uint8Array
  tries: number
  timer: Cancellable | undefined
}

export class Undelivered {
  readonly #kept = new Map<DeviceId, Kept>()
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
    this.#kept.set(to, { datagram: Uint8Array.from(datagram), tries: 0, timer: undefined })
  }

  /** The device is reached, or is a peer no more. */
  forget(to: DeviceId): void {
    this.#kept.get(to)?.timer?.cancel()
    this.#kept.delete(to)
  }

  /** What is kept for the device, if anything, is sent again in a while. */
  retry(to: DeviceId): void {
    const kept = this.#kept.get(to)
    if (kept === undefined || kept.timer !== undefined) return
    if (kept.tries >= RETRIES) {
      this.forget(to)
      return
    }
    kept.timer = this.#clock.after(RETRY_MS, () => {
      kept.timer = undefined
      kept.tries += 1
      if (!this.#sendByAll(to, kept.datagram)) this.retry(to)
    })
  }

  stop(): void {
    for (const { timer } of this.#kept.values()) timer?.cancel()
    this.#kept.clear()
  }
}
