/** Exchange: one question to one resolver, by UDP from a port of its own, or by TCP. */
import { createSocket } from 'node:dgram'
import { connect } from 'node:net'
import { addressFamily, type Endpoint } from '../../protocol/address.ts'
import type { Clock } from '../../protocol/clock.ts'
import { type Forwarded, type Heard, heard, type Outgoing } from './forwarded.ts'
import { framed } from './tcp-queries.ts'

/** Milliseconds until a resolver that says nothing is given up. */
export const EXCHANGE_MS = { udp: 1500, tcp: 3000 } as const

/** Undefined where no answer came. Never rejects. */
export async function exchange(
  to: Endpoint,
  sent: Outgoing,
  clock: Clock,
): Promise<Forwarded | undefined> {
  const first = await byUdp(to, sent, clock)
  if (first?.kind === 'answer') return first.answer
  if (first?.kind !== 'retry') return undefined
  return byTcp(to, sent, clock)
}

/** The socket is connected: the kernel drops what comes from elsewhere. */
function byUdp(to: Endpoint, sent: Outgoing, clock: Clock): Promise<Heard | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket(addressFamily(to.address) === 4 ? 'udp4' : 'udp6')
    const end = (found?: Heard): void => {
      timer.cancel()
      socket.removeAllListeners('message')
      socket.on('error', () => {})
      if (isOpen) socket.close()
      isOpen = false
      resolve(found)
    }
    let isOpen = true
    const timer = clock.after(EXCHANGE_MS.udp, () => end())
    socket.on('error', () => end())
    socket.on('message', (bytes) => {
      const found = heard(bytes, sent, 'udp')
      if (found.kind !== 'other') end(found)
    })
    socket.on('connect', () => socket.send(sent.bytes))
    socket.connect(to.port, to.address)
  })
}

function byTcp(to: Endpoint, sent: Outgoing, clock: Clock): Promise<Forwarded | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host: to.address, port: to.port })
    const timer = clock.after(EXCHANGE_MS.tcp, () => socket.destroy())
    let came: Buffer = Buffer.alloc(0)
    socket.on('connect', () => socket.write(framed(sent.bytes)))
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      came = Buffer.concat([came, chunk])
      if (came.length < 2 || came.length < 2 + came.readUInt16BE(0)) return
      const found = heard(came.subarray(2, 2 + came.readUInt16BE(0)), sent, 'tcp')
      if (found.kind === 'answer') resolve(found.answer)
      socket.destroy()
    })
    socket.on('close', () => {
      timer.cancel()
      resolve(undefined)
    })
  })
}
