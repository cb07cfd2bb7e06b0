/** Recording tunnel: WireGuard's handshake without its cryptography, over a real UDP socket of the loopback
 *  interface, for tests of what carries it. It keeps what WireGuard keeps: one initiation in 5 s, an
 *  initiation received in place of its own, an endpoint that roams, keepalives. One peer. */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { once } from 'node:events'
import type { Tunnel, TunnelPeerStats } from '../../agent/tunnel/backend.ts'
import type { AgreementPublicKey } from '../../crypto/agreement.ts'
import { type Endpoint, formatEndpoint, parseIpAddress } from '../../protocol/address.ts'
import type { Clock } from '../../protocol/clock.ts'
import { seconds } from '../../protocol/time.ts'

const REKEY_TIMEOUT_MS = 5000

export interface RecordingTunnel
  extends Pick<Tunnel, 'setEndpoint' | 'setKeepalive' | 'restartPeer' | 'stats'>,
    AsyncDisposable {
  readonly listenPort: number
  /** What was done to it and what it did, in order: `endpoint 127.0.0.1:4`, `initiates`, `responds`. */
  readonly events: readonly string[]
  /** Is there a session? */
  readonly isUp: boolean
  /** Payloads received. */
  readonly received: readonly string[]
  /** As when somebody else removed the peer and added it without an endpoint. */
  remake(): void
  /** A user's packet: starts a handshake where there is no session. */
  send(payload: string): void
}

export async function startRecordingTunnel(
  peerKey: AgreementPublicKey,
  clock: Clock,
): Promise<RecordingTunnel> {
  const socket = createSocket('udp4')
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  return new Recording(peerKey, clock, socket)
}

class Recording implements RecordingTunnel {
  readonly events: string[] = []
  readonly received: string[] = []
  isUp = false
  readonly #peerKey: AgreementPublicKey
  readonly #clock: Clock
  readonly #socket: Socket
  #endpoint: Endpoint | undefined
  #keepalive = 0
  #index = 0
  #awaited: number | undefined
  #initiatedMs = -Infinity
  #handshake = seconds(0)
  #staged: string[] = []
  #bytes = { received: 0, sent: 0 }

  constructor(peerKey: AgreementPublicKey, clock: Clock, socket: Socket) {
    this.#peerKey = peerKey
    this.#clock = clock
    this.#socket = socket
    socket.on('message', (datagram, from) => this.#receive(datagram, from))
  }

  get listenPort(): number {
    return this.#socket.address().port
  }

  async setEndpoint(_key: AgreementPublicKey, endpoint: Endpoint): Promise<void> {
    this.events.push(`endpoint ${formatEndpoint(endpoint)}`)
    this.#endpoint = endpoint
  }

  async setKeepalive(_key: AgreementPublicKey, interval: number): Promise<void> {
    const isTurnedOn = this.#keepalive === 0 && interval > 0
    this.#keepalive = interval
    if (isTurnedOn) this.send('')
  }

  async restartPeer(): Promise<void> {
    this.events.push('restarts')
    this.isUp = false
    this.#awaited = undefined
    this.#initiatedMs = -Infinity
    this.#staged = []
  }

  async stats(): Promise<readonly TunnelPeerStats[]> {
    return [
      {
        publicKey: this.#peerKey,
        ...(this.#endpoint && { endpoint: this.#endpoint }),
        latestHandshake: this.#handshake,
        receivedBytes: this.#bytes.received,
        sentBytes: this.#bytes.sent,
      },
    ]
  }

  remake(): void {
    this.#endpoint = undefined
  }

  send(payload: string): void {
    if (this.isUp) this.#emit(data(payload))
    else {
      this.#staged.push(payload)
      this.#initiate()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#socket, 'close')
    this.#socket.close()
    await closed
  }

  #initiate(): void {
    const nowMs = this.#clock.monotonicMs()
    if (nowMs - this.#initiatedMs < REKEY_TIMEOUT_MS) return
    this.#initiatedMs = nowMs
    this.#index = (this.#index + 1) % 256
    this.#awaited = this.#index
    this.events.push('initiates')
    this.#emit(message(1, 148, this.#index, 0))
  }

  #emit(datagram: Uint8Array): void {
    if (this.#endpoint === undefined) return
    this.#bytes.sent += datagram.length
    this.#socket.send(datagram, this.#endpoint.port, this.#endpoint.address)
  }

  #receive(datagram: Uint8Array, from: RemoteInfo): void {
    const [type, , , , index = 0] = datagram
    this.#bytes.received += datagram.length
    if (type === 2 && datagram[8] !== this.#awaited) return
    if (type === 4 && !this.isUp && this.#awaited !== -1) return
    this.#endpoint = { address: parseIpAddress(from.address), port: from.port }
    switch (type) {
      case 1:
        // Its own handshake is overwritten: a response to that is no longer understood.
        this.#awaited = -1
        this.events.push('responds')
        this.#emit(message(2, 92, 200, index))
        break
      case 2:
        this.#up()
        if (this.#staged.length === 0) this.#staged.push('')
        this.#flush()
        break
      case 4:
        if (!this.isUp) this.#up()
        if (datagram.length > 32)
          this.received.push(new TextDecoder().decode(datagram.subarray(32)))
        this.#flush()
        break
      default:
    }
  }

  #up(): void {
    this.isUp = true
    this.#awaited = undefined
    this.#handshake = this.#clock.now()
  }

  #flush(): void {
    for (const payload of this.#staged.splice(0)) this.#emit(data(payload))
  }
}

function message(type: number, length: number, index: number, answered: number): Uint8Array {
  const bytes = new Uint8Array(length)
  bytes[0] = type
  bytes[4] = index
  bytes[8] = answered
  return bytes
}

function data(payload: string): Uint8Array {
  return Uint8Array.from([...message(4, 32, 0, 0), ...new TextEncoder().encode(payload)])
}
