/** Own addresses: of this device in the mesh, and which packets are for them. */
import {
  type AddressFamily,
  addressBytes,
  addressFamily,
  type IpAddress,
} from '../../protocol/address.ts'

export class OwnAddresses {
  #addresses: readonly IpAddress[] = []
  #bytes: readonly Uint8Array[] = []

  set(addresses: readonly IpAddress[]): void {
    this.#addresses = [...addresses]
    this.#bytes = addresses.map(addressBytes)
  }

  has(address: IpAddress): boolean {
    return this.#addresses.includes(address)
  }

  /** The first of a family: what is sent comes from it. */
  first(family: AddressFamily): IpAddress | undefined {
    return this.#addresses.find((address) => addressFamily(address) === family)
  }

  list(): readonly IpAddress[] {
    return this.#addresses
  }

  /** Is an IP packet, by its header, for one of them? Of what is no packet nothing is. */
  isDestinationOf(packet: Uint8Array): boolean {
    const version = (packet[0] ?? 0) >> 4
    if (version === 4) return packet.length >= 20 && this.#matches(packet, 16, 4)
    return version === 6 && packet.length >= 40 && this.#matches(packet, 24, 16)
  }

  isSourceOf(packet: Uint8Array): boolean {
    return (packet[0] ?? 0) >> 4 === 4 ? this.#matches(packet, 12, 4) : this.#matches(packet, 8, 16)
  }

  #matches(packet: Uint8Array, offset: number, length: number): boolean {
    return this.#bytes.some(
      (bytes) =>
        bytes.length === length && bytes.every((byte, index) => packet[offset + index] === byte),
    )
  }
}
