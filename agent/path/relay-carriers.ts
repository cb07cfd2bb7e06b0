/** The relay carriers of all peers, made when one is first asked for. */
import type { DeviceId } from '../../protocol/keys.ts'
import type { Log } from '../../protocol/log.ts'
import type { openRelayCarrier, RelayCarrier } from './relay-carrier.ts'

export class RelayCarriers {
  readonly #carriers = new Map<DeviceId, RelayCarrier>()
  readonly #open: (device: DeviceId) => RelayCarrier

  /** @param onDatagram what WireGuard sends to a peer's carrier */
  constructor(
    open: typeof openRelayCarrier,
    { listenPort, log }: { readonly listenPort: number; readonly log: Log },
    onDatagram: (device: DeviceId, datagram: Uint8Array) => void,
  ) {
    this.#open = (device) =>
      open({ listenPort, log, onDatagram: (datagram) => onDatagram(device, datagram) })
  }

  of(device: DeviceId): RelayCarrier {
    const known = this.#carriers.get(device)
    if (known !== undefined) return known
    const made = this.#open(device)
    this.#carriers.set(device, made)
    return made
  }

  /** Closes all others. */
  keep(isWanted: (device: DeviceId) => boolean): void {
    for (const [device, carrier] of this.#carriers) {
      if (isWanted(device)) continue
      carrier.close()
      this.#carriers.delete(device)
    }
  }

  /** Somebody else closes it. */
  forget(device: DeviceId): void {
    this.#carriers.delete(device)
  }
}
