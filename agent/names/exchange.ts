/** Exchange: one question to one resolver, by UDP from a port of its own, or by TCP. */
import { createSocket } from 'node:dgram'
import { connect } from 'node:net'
import type { Duplex } from 'node:stream'
import { addressFamily, type Endpoint } from '../../protocol/address.ts'
import type { Clock } from '../../protocol/clock.ts'
import { type Forwarded, type Heard, heard, type Outgoing } from './forwarded.ts'
import { framed } from './tcp-queries.ts'

/** Milliseconds until a resolver that says nothing is given up. */
export const EXCHANGE_MS = { udp: 1500, tcp: 3000 } as const

/** Undefined where no answer came. Never rejects. */
export type Exchange = (
  to: Endpoint,
  sent: Outgoing,
  clock: Clock,
) => Promise<Forwarded | undefined>

/** A datagram's way to one resolver and back. */
export interface DatagramWay {
  send(bytes: Buffer): void
  close(): void
}

export interface Transports {
  /** `onDatagram` has what comes from the resolver, and from nobody else; `onFailed` when nothing will come. */
  openUdp(to: Endpoint, onDatagram: (bytes: Buffer) => void, onFailed: () => void): DatagramWay
  /** What is written before it is open goes out then. */
  openTcp(to: Endpoint): Duplex
}

export function exchangeBy(transports: Transports): Exchange {
  return async (to, sent, clock) => {
    const first = await byUdp(transports, to, sent, clock)
    if (first?.kind === 'answer') return first.answer
    if (first?.kind !== 'retry') return undefined
    return byTcp(transports.openTcp(to), sent, clock)
  }
}

/** By this host's sockets. */
export const exchange = exchangeBy({
  openUdp: (to, onDatagram, onFailed) => {
    // Connected: the kernel drops what comes from elsewhere.
    const socket = createSocket(addressFamily(to.address) === 4 ? 'udp4' : 'udp6')
    const unsent: Buffer[] = []
    let isConnected = false
    socket.on('error', onFailed)
    socket.on('message', onDatagram)
    socket.on('connect', () => {
      isConnected = true
      for (const bytes of unsent.splice(0)) socket.send(bytes)
    })
    socket.connect(to.port, to.address)
    return {
      send: (bytes) => void (isConnected ? socket.send(bytes) : unsent.push(bytes)),
      close: () => socket.close(),
    }
  },
  openTcp: ({ address, port }) => connect({ host: address, port }),
})

function byUdp(
  { openUdp }: Transports,
  to: Endpoint,
  sent: Outgoing,
  clock: Clock,
): Promise<Heard | undefined> {
  return new Promise((resolve) => {
    let way: DatagramWay | undefined
    let isOver = false
    const end = (found?: Heard): void => {
      if (isOver) return
      isOver = true
      timer.cancel()
      way?.close()
      resolve(found)
    }
    const timer = clock.after(EXCHANGE_MS.udp, () => end())
    way = openUdp(
      to,
      (bytes) => {
        const found = heard(bytes, sent, 'udp')
        if (found.kind !== 'other') end(found)
      },
      () => end(),
    )
    if (isOver) way.close()
    else way.send(sent.bytes)
  })
}

function byTcp(connection: Duplex, sent: Outgoing, clock: Clock): Promise<Forwarded | undefined> {
  return new Promise((resolve) => {
    const timer = clock.after(EXCHANGE_MS.tcp, () => connection.destroy())
    let came: Buffer = Buffer.alloc(0)
    connection.on('error', () => {})
    connection.on('data', (chunk) => {
      came = Buffer.concat([came, chunk])
      if (came.length < 2 || came.length < 2 + came.readUInt16BE(0)) return
      const found = heard(came.subarray(2, 2 + came.readUInt16BE(0)), sent, 'tcp')
      if (found.kind === 'answer') resolve(found.answer)
      connection.destroy()
    })
    connection.on('close', () => {
      timer.cancel()
      resolve(undefined)
    })
    connection.write(framed(sent.bytes))
  })
}
