/** Echo device: a host reduced to `ping`: answers echo requests to its own addresses, and makes some. */

import { ipLayout } from '../../../../agent/tunnel/userspace/ip-packet.ts'
import type { PacketDevice } from '../../../../agent/tunnel/userspace/packet-device.ts'
import { internetChecksum } from '../../../../agent/tunnel/userspace/too-big.ts'
import {
  addressBytes,
  addressFamily,
  addressFromBytes,
  type IpAddress,
  prefixAddress,
} from '../../../../protocol/address.ts'

const PROTOCOL = { 4: 1, 6: 58 } as const
const REQUEST = { 4: 8, 6: 128 } as const
const REPLY = { 4: 0, 6: 129 } as const
const ECHO_BYTES = 8

export type Answer = 'reply' | 'too-big'

export class EchoDevice implements PacketDevice {
  onPacket: (packet: Uint8Array) => void = () => undefined
  addresses: readonly IpAddress[] = []
  mtu = 0
  #sequence = 0
  readonly #asked = new Map<number, (answer: Answer) => void>()

  configure({ addresses, mtu }: Parameters<PacketDevice['configure']>[0]): void {
    this.addresses = addresses.map(prefixAddress)
    this.mtu = mtu
  }

  write(packet: Uint8Array): void {
    const layout = ipLayout(packet)
    if (layout === undefined) return
    const { version, source, destination, headerBytes } = layout
    const bytes = destination - source
    const to = addressFromBytes(packet.slice(destination, destination + bytes))
    if (!this.addresses.includes(to)) return
    const from = addressFromBytes(packet.slice(source, source + bytes))
    const echo = packet.slice(headerBytes)
    const [type] = echo
    if (type === REQUEST[version]) {
      this.onPacket(this.#packet(to, from, REPLY[version], echo.subarray(4)))
    } else if (type === REPLY[version]) this.#answered(echo, 'reply')
    // The notice quotes the request.
    else if (type === (version === 4 ? 3 : 2)) {
      this.#answered(echo.subarray(ECHO_BYTES + headerBytes), 'too-big')
    }
  }

  /** Resolves with what came back for the number; nobody waits for what never does. */
  asked(number: number): Promise<Answer> {
    return new Promise((resolve) => this.#asked.set(number, resolve))
  }

  /** Sends an echo request in a packet of so many bytes from our first address; its number. */
  ask(to: IpAddress, bytes: number): number {
    const family = addressFamily(to)
    const from = this.addresses.find((one) => addressFamily(one) === family)
    if (from === undefined) throw new Error(`no address of ${to}'s family`)
    this.#sequence = (this.#sequence + 1) & 0xffff
    const body = new Uint8Array(bytes - (family === 4 ? 20 : 40) - 4).fill(0x5a)
    body.set([0x12, 0x34, this.#sequence >> 8, this.#sequence & 0xff])
    const packet = this.#packet(from, to, REQUEST[family], body)
    this.onPacket(packet)
    return this.#sequence
  }

  #answered(echo: Uint8Array, answer: Answer): void {
    const number = ((echo[6] ?? 0) << 8) | (echo[7] ?? 0)
    this.#asked.get(number)?.(answer)
    this.#asked.delete(number)
  }

  /** IPv4's says that it must not be cut. @param body from the echo's identifier on */
  #packet(from: IpAddress, to: IpAddress, type: number, body: Uint8Array): Uint8Array {
    const family = addressFamily(from)
    const headerBytes = family === 4 ? 20 : 40
    const packet = new Uint8Array(headerBytes + 4 + body.length)
    const view = new DataView(packet.buffer)
    const [source, destination] = [addressBytes(from), addressBytes(to)]
    packet[headerBytes] = type
    packet.set(body, headerBytes + 4)
    const echo = packet.subarray(headerBytes)
    if (family === 4) {
      packet.set([
        0x45,
        0,
        packet.length >> 8,
        packet.length & 0xff,
        0,
        0,
        0x40,
        0,
        64,
        PROTOCOL[4],
      ])
      packet.set([...source, ...destination], 12)
      view.setUint16(10, internetChecksum(packet.subarray(0, headerBytes)))
      view.setUint16(headerBytes + 2, internetChecksum(echo))
      return packet
    }
    packet.set([0x60, 0, 0, 0, echo.length >> 8, echo.length & 0xff, PROTOCOL[6], 64])
    packet.set([...source, ...destination], 8)
    const pseudo = Uint8Array.of(
      ...source,
      ...destination,
      0,
      0,
      echo.length >> 8,
      echo.length & 0xff,
      0,
      0,
      0,
      PROTOCOL[6],
    )
    view.setUint16(headerBytes + 2, internetChecksum(pseudo, echo))
    return packet
  }
}
