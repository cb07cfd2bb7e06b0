/** Outbound: what leaves by one UDP socket. Datagrams of one turn of the event loop to one endpoint leave in one call,
 *  where the kernel can cut them apart: its way through the network is most of what sending costs. */
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
  /** Of a bunch that was dropped. */
  failed(error: Error): void
}

/** Bytes waiting for the kernel; beyond them datagrams are dropped, as a full link does. */
const QUEUE_BYTES = 4 << 20
/** Addresses remembered to which no bunch can be sent. */
const REFUSING = 1024
/** The way takes no bunches: it has no checksum offload, or a smaller MTU (udp(7); newer kernels say EMSGSIZE). */
const REFUSALS = ['EIO', 'EINVAL', 'EMSGSIZE']

export class Outbound {
  readonly #options: OutboundOptions
  /** As the socket cuts at present; 0: not. */
  #segment = 0
  #bunch: Bunch | undefined
  #isDue = false
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
    const isWhole = datagrams.length > 1 && !this.#refusing.has(to.address) && this.#cutsAt(segment)
    if (isWhole) this.#give(bunch, datagrams.flat())
    else this.#sendEach(bunch)
  }

  /** What would be cut, or refused while the socket cuts, and cannot be kept from it is dropped. */
  #sendEach(bunch: Bunch): void {
    const isCut = bunch.segment > this.#segment || this.#refusing.has(bunch.to.address)
    if (isCut && !this.#cutsAt(0)) return
    for (const datagram of bunch.datagrams) this.#give(new Bunch(datagram, bunch.to), datagram)
  }

  /** A socket that cuts refuses whatever is sent where a cut piece would not fit, short datagrams, too. */
  #give(bunch: Bunch, parts: readonly Uint8Array[]): void {
    const { socket } = this.#options
    const { address, port } = bunch.to
    if (this.#segment === 0) socket.send(parts, port, address)
    else
      socket.send(parts, port, address, (error) => {
        if (error !== null) this.#refused(bunch, error)
      })
  }

  #refused(bunch: Bunch, error: NodeJS.ErrnoException): void {
    // What fails for another reason, a route that is missing for one, would fail datagram by datagram.
    if (!REFUSALS.includes(error.code ?? '')) {
      this.#options.failed(error)
      return
    }
    if (this.#refusing.size >= REFUSING) this.#refusing.clear()
    this.#refusing.add(bunch.to.address)
    this.#sendEach(bunch)
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
