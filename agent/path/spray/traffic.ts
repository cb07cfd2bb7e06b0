/** When packets of users last passed, by what WireGuard has counted. */
import type { DeviceId } from '../../../protocol/keys.ts'
import { KEEPALIVE_BYTES } from '../timing.ts'

export interface Bytes {
  readonly received: number
  readonly sent: number
}

interface Known extends Bytes {
  readonly packetsMs: number
}

export class Traffic {
  readonly #known = new Map<DeviceId, Known>()

  counted(device: DeviceId, { received, sent }: Bytes, nowMs: number): void {
    const known = this.#known.get(device)
    const grown = known && Math.max(received - known.received, sent - known.sent)
    const isTraffic = grown !== undefined && grown > KEEPALIVE_BYTES
    const packetsMs = isTraffic ? nowMs : (known?.packetsMs ?? -Infinity)
    this.#known.set(device, { received, sent, packetsMs })
  }

  /** -Infinity: none did. */
  packetsMs(device: DeviceId): number {
    return this.#known.get(device)?.packetsMs ?? -Infinity
  }

  keep(isWanted: (device: DeviceId) => boolean): void {
    for (const device of this.#known.keys()) if (!isWanted(device)) this.#known.delete(device)
  }
}
