/** UDP sockets: who listens on which port. A flow outward takes a port of its own, so that answers find their way. */
import type { Endpoint, IpAddress } from '../../protocol/address.ts'
import { STACK_LIMITS } from './limits.ts'
import type { Datagram, Endpoints } from './lwip/module.ts'
import { SocketError } from './socket-error.ts'

export interface UdpMessage {
  readonly data: Uint8Array
  /** The address of ours that it was sent to. */
  readonly local: IpAddress
  readonly remote: Endpoint
}

export interface UdpSocket {
  readonly port: number
  /** @param from an address of ours; absent: the first of the family. Throws SocketError (EMSGSIZE, EADDRNOTAVAIL,
   *  ENOBUFS, EPIPE when it is closed). */
  send(data: Uint8Array, to: Endpoint, from?: IpAddress): void
  /** Tells the sender of a message by ICMP that nothing listens here after all; not always, where there is much to
   *  tell. */
  refuse(message: UdpMessage): void
  close(): void
}

/** What sockets ask of the stack. */
export interface UdpPort {
  send(data: Uint8Array, port: number, to: Endpoint, from?: IpAddress): void
  refuse(message: UdpMessage, port: number): void
}

interface Listener {
  readonly onMessage: (message: UdpMessage) => void
  readonly onRefused: ((remote: Endpoint) => void) | undefined
}

/** Ports given to sockets that ask for none in particular. */
const FREE = { from: 32_768, to: 65_535 } as const

export class UdpSockets {
  readonly #listeners = new Map<number, Listener>()
  readonly #port: UdpPort
  #next: number = FREE.from

  constructor(port: UdpPort) {
    this.#port = port
  }

  get size(): number {
    return this.#listeners.size
  }

  has(port: number): boolean {
    return this.#listeners.has(port)
  }

  /** @param wanted 0: any that is free. Throws SocketError (EADDRINUSE, ENOBUFS). */
  bind(
    wanted: number,
    onMessage: (message: UdpMessage) => void,
    onRefused?: (remote: Endpoint) => void,
  ): UdpSocket {
    if (this.#listeners.size >= STACK_LIMITS.udpSockets) throw new SocketError('bind', 'ENOBUFS')
    if (this.#listeners.has(wanted)) throw new SocketError('bind', 'EADDRINUSE', `port ${wanted}`)
    const port = wanted === 0 ? this.#free() : wanted
    this.#listeners.set(port, { onMessage, onRefused })
    let isOpen = true
    return {
      port,
      send: (data, to, from) => {
        if (!isOpen) throw new SocketError('send', 'EPIPE')
        this.#port.send(data, port, to, from)
      },
      refuse: (message) => {
        if (isOpen) this.#port.refuse(message, port)
      },
      close: () => {
        if (isOpen) this.#listeners.delete(port)
        isOpen = false
      },
    }
  }

  deliver({ data, local, localPort, remote, remotePort }: Datagram): void {
    const message = { data, local, remote: { address: remote, port: remotePort } }
    this.#listeners.get(localPort)?.onMessage(message)
  }

  refused({ localPort, remote, remotePort }: Endpoints): void {
    this.#listeners.get(localPort)?.onRefused?.({ address: remote, port: remotePort })
  }

  /** There is one: fewer sockets than ports. */
  #free(): number {
    do this.#next = this.#next === FREE.to ? FREE.from : this.#next + 1
    while (this.#listeners.has(this.#next))
    return this.#next
  }
}
