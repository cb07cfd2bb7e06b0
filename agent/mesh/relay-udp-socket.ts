/** Relay UDP socket: the client's end of a relay's UDP session (SPEC §12.4). */
import { createSocket, type Socket, type SocketType } from 'node:dgram'
import { fromHex, toHex } from '../../crypto/bytes.ts'
import type { RelayFrame } from '../../protocol/relay.ts'
import type { UdpOffer } from '../../protocol/relay-control.ts'
import {
  isRelayDatagram,
  openRelayDatagram,
  type SessionKey,
  sealRelayDatagram,
} from '../../protocol/relay-udp.ts'
import { ReplayWindow } from '../../protocol/replay-window.ts'

/** Bytes waiting for the kernel; beyond them datagrams are dropped, as a full link does. */
const QUEUE_BYTES = 1 << 20
/** Bytes of the kernel's buffers, where it allows so many. */
const BUFFER_BYTES = 1 << 21

/** Where a relay's stream goes, and so its UDP. */
export interface RelayHost {
  readonly family: 4 | 6
  /** An address, or a name. */
  readonly host: string
}

export interface RelayUdpSocket {
  readonly session: string
  /** False: not connected yet, or the queue is full. */
  send(frame: RelayFrame): boolean
  close(): void
}

/** Frames of the session alone, each once, are handed on; whatever else comes is dropped. */
export function openRelayUdpSocket(
  { host, family }: RelayHost,
  { port, session, key }: UdpOffer,
  onFrame: (frame: RelayFrame) => void,
): RelayUdpSocket {
  const type: SocketType = family === 4 ? 'udp4' : 'udp6'
  const socket = createSocket({ type, recvBufferSize: BUFFER_BYTES, sendBufferSize: BUFFER_BYTES })
  // A port that nobody listens on any more, a network that is gone: pings stay unanswered.
  socket.on('error', () => undefined)
  socket.connect(port, host)
  return sessionOver(socket, { session: toHex(session), key }, onFrame)
}

/** The session by a socket that is being connected to the relay, or is. */
export function sessionOver(
  socket: Socket,
  keys: SessionKey,
  onFrame: (frame: RelayFrame) => void,
  isConnectedNow = false,
): RelayUdpSocket {
  const window = new ReplayWindow()
  let isConnected = isConnectedNow
  let sent = 0
  socket.on('message', (bytes) => {
    if (!isRelayDatagram(bytes, 'to-client')) return
    const opened = openRelayDatagram(keys, 'to-client', bytes)
    if (opened !== undefined && window.take(opened.counter)) onFrame(opened)
  })
  socket.on('connect', () => {
    isConnected = true
  })
  return {
    session: keys.session,
    send: (frame) => {
      if (!isConnected || socket.getSendQueueSize() > QUEUE_BYTES) return false
      socket.send(sealRelayDatagram(keys, 'to-relay', sent, frame), () => undefined)
      sent += 1
      return true
    },
    close: () => {
      isConnected = false
      socket.close()
    },
  }
}

/** Is it the session in use, offered anew? */
export function isSameSession(socket: RelayUdpSocket | undefined, offer: UdpOffer): boolean {
  return socket !== undefined && toHex(offer.session) === socket.session
}

/** Nothing: for pings before the first challenge. */
export const NO_CHALLENGE = fromHex('00'.repeat(8))
