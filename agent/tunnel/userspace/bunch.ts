/** Bunch: datagrams to one endpoint that leave in one call, cut apart by the kernel or the network card (UDP_SEGMENT,
 *  udp(7): "generic segmentation offload"). Pure. */
import type { Endpoint } from '../../../protocol/address.ts'

/** UDP_MAX_SEGMENTS of Linux 4.18. */
const MOST_DATAGRAMS = 64
/** A UDP datagram's length has 16 bits, and an IPv6 header's 40 bytes may come on top. */
const MOST_BYTES = 65_000

/** In parts, one after another. */
export type Datagram = readonly Uint8Array[]

export class Bunch {
  readonly to: Endpoint
  readonly datagrams: Datagram[] = []
  /** Of all. */
  bytes: number
  /** Of each datagram but the last, which may be shorter. */
  readonly segment: number
  #isOpen = true

  constructor(first: Datagram, to: Endpoint) {
    this.to = to
    this.segment = bytesOf(first)
    this.bytes = this.segment
    this.datagrams.push(first)
  }

  /** False where the datagram has to wait for the next bunch. */
  add(datagram: Datagram, to: Endpoint): boolean {
    const bytes = bytesOf(datagram)
    if (!this.#isOpen || bytes > this.segment || this.bytes + bytes > MOST_BYTES) return false
    if (to.port !== this.to.port || to.address !== this.to.address) return false
    this.datagrams.push(datagram)
    this.bytes += bytes
    this.#isOpen = bytes === this.segment && this.datagrams.length < MOST_DATAGRAMS
    return true
  }
}

function bytesOf(datagram: Datagram): number {
  return datagram.reduce((sum, { length }) => sum + length, 0)
}
