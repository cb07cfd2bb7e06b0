/** Relay switchboard: which frame goes to which device, inside one organization (SPEC §7.4). */
import { encodeRelayFrame, type RelayAddress, type RelayFrame } from './relay.ts'

/** The way to a device, a stream as a rule. Must not block: what does not fit its queue is dropped. */
export interface RelayPort {
  /** Takes an encoded frame, or drops it. */
  send(frame: Uint8Array): void
}

const NOTHING = new Uint8Array(0)

/** Knows the ports of one organization's devices. One for each organization: no frame leaves it. */
export class RelaySwitchboard {
  /** Of each device the open ports, the newest last. */
  readonly #ports = new Map<RelayAddress, readonly RelayPort[]>()

  /** The newest port of a device is the one used. */
  attach(address: RelayAddress, port: RelayPort): void {
    this.#ports.set(address, [...(this.#ports.get(address) ?? []), port])
  }

  /** Forgets the port; an older one that is still open is used again. */
  detach(address: RelayAddress, port: RelayPort): void {
    const left = (this.#ports.get(address) ?? []).filter((each) => each !== port)
    if (left.length > 0) this.#ports.set(address, left)
    else this.#ports.delete(address)
  }

  has(address: RelayAddress): boolean {
    return this.#ports.has(address)
  }

  /** Passes a frame on with the sender in it. To a device that is not here the answer, at the sender's
   *  own port, is an empty datagram: "unreachable here". */
  forward(from: RelayAddress, { peer, datagram }: RelayFrame): void {
    if (datagram.length === 0) return
    const port = this.#ports.get(peer)?.at(-1)
    if (port !== undefined) port.send(encodeRelayFrame({ peer: from, datagram }))
    else
      this.#ports
        .get(from)
        ?.at(-1)
        ?.send(encodeRelayFrame({ peer, datagram: NOTHING }))
  }
}
