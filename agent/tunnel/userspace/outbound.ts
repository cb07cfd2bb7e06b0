/** Outbound: what leaves by one UDP socket. Datagrams of one turn of the event loop to one endpoint leave in one call,
 *  where the kernel can cut them apart: that is four fifths of what sending costs. */
import type { Socket } from 'node:dgram'
import type { Endpoint } from '../../../protocol/address.ts'
import { Bunch, type Datagram } from './bunch.ts'
import type { Segmentation } from './segmentation.ts'

export interface OutboundOptions {
  readonly socket: Pick<Socket, 'send' | 'getSendQueueSize'>
  /** Undefined: each datagram leaves at once, by itself. */
  readonly segmentation: Segmentation | undefined
  /** Runs a task at the end of this turn. */
  defer(task: () => void): void
}

/** Bytes waiting for the kernel; beyond them datagrams are dropped, as a full link does. */
const QUEUE_BYTES = 4 << 20
/** Addresses remembered to which no bunch can be sent. */
const REFUSING = 1024

export class Outbound {
  readonly #options: OutboundOptions
  /** As the socket cuts at present; 0: not. */
  #segment = 0
  #bunch: Bunch | undefined
  #isDue = false
  /** Where the way there takes no bunches: no checksum offload (EIO), or its MTU is less (EINVAL, EMSGSIZE). */
  readonly #refusing = new Set<string>()

  constructor(options: OutboundOptions) {
    this.#options = options
  }

  /** False: too much waits already. */
  send(datagram: Datagram, to: Endpoint): boolean {
    const { socket, segmentation, defer } = this.#options
    if (socket.getSendQueueSize() > QUEUE_BYTES) return false
    if (segmentation === undefined) {
      socket.send(datagram, to.port, to.address)
      return true
    }
    if (this.#bunch?.add(datagram, to)) return true
    this.flush()
    this.#bunch = new Bunch(datagram, to)
    if (this.#isDue) return true
    this.#isDue = true
    defer(() => {
      this.#isDue = false
      this.flush()
    })
    return true
  }

  /** Sends what was put off. */
  flush(): void {
    const bunch = this.#bunch
    if (bunch === undefined) return
    this.#bunch = undefined
    const { datagrams, to, segment } = bunch
    const isOne = datagrams.length === 1
    if (isOne || this.#refusing.has(to.address) || !this.#cutsAt(segment)) this.#sendEach(bunch)
    else
      this.#options.socket.send(datagrams.flat(), to.port, to.address, (error) => {
        if (error !== null) this.#refused(bunch)
      })
  }

  #refused(bunch: Bunch): void {
    if (this.#refusing.size >= REFUSING) this.#refusing.clear()
    this.#refusing.add(bunch.to.address)
    this.#sendEach(bunch)
  }

  #sendEach({ datagrams, to, segment }: Bunch): void {
    // What would be cut and cannot be kept whole is dropped.
    if (this.#segment !== 0 && segment > this.#segment && !this.#cutsAt(0)) return
    for (const datagram of datagrams) this.#options.socket.send(datagram, to.port, to.address)
  }

  /** The option is the socket's, so it holds for what still waits, too: it is changed when nothing does. */
  #cutsAt(bytes: number): boolean {
    if (bytes === this.#segment) return true
    const { socket, segmentation } = this.#options
    if (socket.getSendQueueSize() > 0 || segmentation?.(bytes) !== true) return false
    this.#segment = bytes
    return true
  }
}
