/** Relay switchboard: which frame goes to which device, inside one organization (SPEC §7.4). */
import type { RelayAddress, RelayFrame } from './relay.ts'
import type { UdpRoute } from './relay-udp-session.ts'

/** The way to a device. Must not block: what does not fit its queue is dropped. */
export interface RelayPort {
  /** Takes a frame, or drops it. */
  send(frame: RelayFrame): void
}

/** The same, of a member, as a hub has it. */
export interface BoardPort<M> extends RelayPort {
  readonly member: M
  /** Since when it is there, or was promised, milliseconds. */
  readonly sinceMs: number
  send(frame: RelayFrame): boolean
  isOpen(): boolean
  /** What the next datagram goes by. */
  by(): 'udp' | 'tcp'
  receiveUdp(bytes: Uint8Array, route: UdpRoute): void
  /** Where it has a stream to be offered a session by. */
  offerUdp(port: number): void
  /** Reads nothing of its stream for so long. */
  pause(forMs: number): void
  /** Bytes by UDP were more than it may send. */
  refused(bytes: number, bytesPerSecond: number): void
  /** A newer one has taken its place. */
  end(): void
  /** It has ended. */
  close(): void
}

const NOTHING = new Uint8Array(0)

/** Knows the ports of one organization's devices. One for each organization: no frame leaves it. */
export class RelaySwitchboard<P extends RelayPort = RelayPort> {
  /** Of each device the open ports, the newest last. */
  readonly #ports = new Map<RelayAddress, readonly P[]>()

  /** The newest port of a device is the one used. */
  attach(address: RelayAddress, port: P): void {
    this.#ports.set(address, [...(this.#ports.get(address) ?? []), port])
  }

  /** Forgets the port; an older one that is still open is used again. */
  detach(address: RelayAddress, port: P): void {
    const left = (this.#ports.get(address) ?? []).filter((each) => each !== port)
    if (left.length > 0) this.#ports.set(address, left)
    else this.#ports.delete(address)
  }

  has(address: RelayAddress): boolean {
    return this.#ports.has(address)
  }

  /** Open ports of a device, the newest last. */
  of(address: RelayAddress): readonly P[] {
    return this.#ports.get(address) ?? []
  }

  all(): readonly P[] {
    return [...this.#ports.values()].flat()
  }

  /** Passes a frame on with the sender in it. To a device that is not here the answer, at the sender's
   *  own port, is an empty datagram: "unreachable here". */
  forward(from: RelayAddress, { peer, datagram }: RelayFrame): void {
    if (datagram.length === 0) return
    const port = this.#ports.get(peer)?.at(-1)
    if (port !== undefined) port.send({ peer: from, datagram })
    else this.#ports.get(from)?.at(-1)?.send({ peer, datagram: NOTHING })
  }
}
