/** TCP connection: a stream like Node's own sockets. What the reader does not take fills the receive window, and then
 *  the peer waits; what the peer does not take fills the send buffer, and then the writer waits. */
import { Duplex } from 'node:stream'
import type { IpAddress } from '../../protocol/address.ts'
import type { Endpoints, Failure } from './lwip/module.ts'
import { SocketError, type SocketErrorCode } from './socket-error.ts'

/** What a connection asks of the stack. Nothing of it calls back at once. */
export interface ConnectionPort {
  /** How many of the first bytes were queued. */
  send(bytes: Uint8Array): number
  /** No more will be sent. */
  finish(): void
  /** The reader took so many bytes. */
  consumed(bytes: number): void
  /** The last word: `reset` ends it at once, else what is queued goes on its way. */
  close(reset: boolean): void
  /** Runs a task when what happens now has happened. */
  defer(task: () => void): void
}

const CODES = {
  'timed-out': 'ETIMEDOUT',
  reset: 'ECONNRESET',
  closed: 'ECONNRESET',
  unreachable: 'EHOSTUNREACH',
} as const satisfies Record<Failure, SocketErrorCode>

/** Bytes that are handed to the reader at once, about. */
const CHUNK_BYTES = 64 * 1024

type Done = (error?: Error | null) => void

export class TcpConnection extends Duplex {
  readonly localAddress: IpAddress
  readonly localPort: number
  readonly remoteAddress: IpAddress
  readonly remotePort: number
  bytesRead = 0
  bytesWritten = 0
  readonly #port: ConnectionPort
  #isConnecting: boolean
  #isGone = false
  /** Received and not yet asked for: no more than the receive window. */
  #inbox: Uint8Array[] = []
  #isWanted = false
  #hasEnded = false
  #isDelivering = false
  #isSending = false
  #outbox: Uint8Array[] = []
  #written: Done | undefined
  #finished: Done | undefined

  constructor(endpoints: Endpoints, port: ConnectionPort, isConnecting: boolean) {
    super({ allowHalfOpen: true })
    this.localAddress = endpoints.local
    this.localPort = endpoints.localPort
    this.remoteAddress = endpoints.remote
    this.remotePort = endpoints.remotePort
    this.#port = port
    this.#isConnecting = isConnecting
  }

  get connecting(): boolean {
    return this.#isConnecting
  }

  /** Those of Node's sockets that callers expect; small writes are never held back, and keep-alive is always on. */
  setNoDelay(): this {
    return this
  }

  setKeepAlive(): this {
    return this
  }

  override _read(): void {
    this.#isWanted = true
    this.#deliver()
  }

  override _write(chunk: Uint8Array, _encoding: string, done: Done): void {
    this.#outbox = [chunk]
    this.#written = done
    this.#send()
  }

  override _writev(chunks: ReadonlyArray<{ readonly chunk: Uint8Array }>, done: Done): void {
    this.#outbox = chunks.map(({ chunk }) => chunk)
    this.#written = done
    this.#send()
  }

  override _final(done: Done): void {
    if (this.#isConnecting) {
      this.#finished = done
      return
    }
    if (!this.#isGone) this.#port.finish()
    done()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    const isWhole = error === null && this.writableFinished && this.#hasEnded
    this.#isGone = true
    this.#inbox = []
    this.#outbox = []
    this.#port.close(!isWhole)
    done(error)
  }

  /** The stack's: the handshake is over. */
  opened(): void {
    this.#isConnecting = false
    this.emit('connect')
    this.#send()
    const finished = this.#finished
    this.#finished = undefined
    if (finished !== undefined) this._final(finished)
  }

  /** The stack's. @param data kept, not copied */
  arrived(data: Uint8Array): void {
    this.bytesRead += data.length
    this.#inbox.push(data)
    this.#deliverSoon()
  }

  /** The stack's: the peer sends no more. */
  ended(): void {
    this.#hasEnded = true
    this.#deliverSoon()
  }

  /** The stack's: there may be room to send. */
  drained(): void {
    this.#send()
  }

  /** The stack's: the connection is no more. */
  failed(failure: Failure): void {
    this.#isGone = true
    if (failure === 'closed' && this.#hasEnded) return
    const code = this.#isConnecting && failure === 'reset' ? 'ECONNREFUSED' : CODES[failure]
    const about = { address: this.remoteAddress, port: this.remotePort }
    this.destroy(new SocketError(this.#isConnecting ? 'connect' : 'read', code, about))
  }

  /** What is sent may make room for more, and so ask for this again: the loop sees to it. */
  #send(): void {
    if (this.#isConnecting || this.#isGone || this.#isSending) return
    this.#isSending = true
    while (this.#sendFirst()) void 0
    this.#isSending = false
    if (this.#outbox.length > 0) return
    const written = this.#written
    this.#written = undefined
    written?.()
  }

  /** Was anything of the first chunk queued? */
  #sendFirst(): boolean {
    const [chunk] = this.#outbox
    if (chunk === undefined) return false
    const count = chunk.length === 0 ? 0 : this.#port.send(chunk)
    this.bytesWritten += count
    if (count < chunk.length) this.#outbox[0] = chunk.subarray(count)
    else this.#outbox.shift()
    return count > 0 || chunk.length === 0
  }

  /** All that arrives in one go is one chunk. */
  #deliverSoon(): void {
    if (this.#isDelivering) return
    this.#isDelivering = true
    this.#port.defer(() => {
      this.#isDelivering = false
      this.#deliver()
    })
  }

  /** From the front of the inbox: what is handed on is room in the window, so it is no more than a chunk. */
  #take(): Uint8Array {
    let bytes = 0
    let count = 0
    while (count < this.#inbox.length && bytes < CHUNK_BYTES) {
      bytes += this.#inbox[count]?.length ?? 0
      count += 1
    }
    return Buffer.concat(this.#inbox.splice(0, count), bytes)
  }

  #deliver(): void {
    if (!this.#isWanted || this.destroyed) return
    if (this.#inbox.length > 0) {
      const data = this.#take()
      this.#isWanted = false
      this.#port.consumed(data.length)
      this.push(data)
    } else if (this.#hasEnded) {
      this.#isWanted = false
      this.push(null)
    }
  }
}
