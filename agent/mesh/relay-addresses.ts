/** Relay addresses: the short names of devices in relay frames, both ways. */
import type { DeviceId } from '../../protocol/keys.ts'
import { type RelayAddress, relayAddressOf } from '../../protocol/relay.ts'

/** Addresses kept computed, besides those of peers. */
const COMPUTED = 1024

export class RelayAddresses {
  readonly #computed = new Map<DeviceId, RelayAddress>()
  #peers: ReadonlyMap<RelayAddress, DeviceId> = new Map()

  setPeers(devices: readonly DeviceId[]): void {
    if (this.#computed.size > devices.length + COMPUTED) this.#computed.clear()
    this.#peers = new Map(devices.map((device) => [this.of(device), device]))
  }

  of(device: DeviceId): RelayAddress {
    const known = this.#computed.get(device)
    if (known !== undefined) return known
    const address = relayAddressOf(device)
    this.#computed.set(device, address)
    return address
  }

  isPeer(device: DeviceId): boolean {
    return this.#peers.get(this.of(device)) === device
  }

  /** The peer of that address; undefined of a device that is none. */
  deviceAt(address: RelayAddress): DeviceId | undefined {
    return this.#peers.get(address)
  }
}
