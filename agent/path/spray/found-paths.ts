/** Found paths of the hard side: for each a socket that keeps the port, and the diversion by which WireGuard and
 *  the checks use it. */
import { type Endpoint, formatEndpoint } from '../../../protocol/address.ts'
import type { DeviceId } from '../../../protocol/keys.ts'
import type { Log } from '../../../protocol/log.ts'
import { explain } from '../../errors.ts'
import type { SpraySocket } from './sockets.ts'

/** Where packets to a remote endpoint take another port: agent/host/diverted-ports.ts, or sharedSprayHost where
 *  WireGuard runs in this process. */
export interface SprayHost {
  divert(remote: Endpoint, socket: SpraySocket): Promise<void>
  restore(remote: Endpoint): Promise<void>
}

export class FoundPaths {
  readonly #host: SprayHost
  readonly #log: Log
  readonly #sockets = new Map<DeviceId, SpraySocket>()
  #isClosed = false

  constructor(host: SprayHost, log: Log) {
    this.#host = host
    this.#log = log
  }

  /** Resolves to whether packets to `target` take the socket's port now; then the socket is kept. Throws what the
   *  host says; then it is closed. */
  async hold(device: DeviceId, target: Endpoint, socket: SpraySocket): Promise<boolean> {
    this.#sockets.get(device)?.close()
    this.#sockets.set(device, socket)
    try {
      await this.#host.divert(target, socket)
    } catch (error) {
      this.#drop(device, socket)
      throw error
    }
    if (this.#sockets.get(device) === socket) return true
    // It was released meanwhile.
    await this.#restore(target)
    return false
  }

  /** Packets to `endpoint` leave by WireGuard's port again. */
  async release(device: DeviceId, endpoint: Endpoint): Promise<void> {
    const socket = this.#sockets.get(device)
    if (socket === undefined) return
    this.#sockets.delete(device)
    await this.#restore(endpoint)
    socket.close()
  }

  /** The diversions go with the table. */
  close(): void {
    this.#isClosed = true
    for (const socket of this.#sockets.values()) socket.close()
    this.#sockets.clear()
  }

  #drop(device: DeviceId, socket: SpraySocket): void {
    socket.close()
    if (this.#sockets.get(device) === socket) this.#sockets.delete(device)
  }

  async #restore(endpoint: Endpoint): Promise<void> {
    if (this.#isClosed) return
    try {
      await this.#host.restore(endpoint)
    } catch (error) {
      const reason = explain(error)
      this.#log('warn', 'path.not-restored', { endpoint: formatEndpoint(endpoint), reason })
    }
  }
}
