/** UPnP search: where the gateway describes itself (SSDP, UPnP Device Architecture 1.1 §1.3). */

import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { MalformedError } from '../../../protocol/errors.ts'
import type { Gateway } from '../../host/gateway.ts'
import type { Exchanged } from './udp-exchange.ts'
import { type Exchange, slept } from './udp-exchange.ts'
import { encodeSearch, parseSearchAnswer } from './upnp-text.ts'

const GROUP = '239.255.255.250'
const PORT = 1900
/** Datagrams looked at: every device of a network may answer a search. */
const DATAGRAMS = 256

/** Asks the group, as UPnP wants it, and the gateway, where multicast is dropped; listens to the gateway
 *  alone. Never throws. */
export async function searchGateway(
  { address, source }: Gateway,
  { waitsMs, clock, signal }: Pick<Exchange<URL>, 'waitsMs' | 'clock' | 'signal'>,
): Promise<Exchanged<URL>> {
  const socket = createSocket('udp4')
  const done = Promise.withResolvers<Exchanged<URL>>()
  const over = new AbortController()
  let looked = 0
  let reason = 'no answer'
  socket.on('error', ({ message }) => done.resolve({ kind: 'silent', reason: message }))
  socket.on('message', (datagram, from) => {
    looked += 1
    if (looked > DATAGRAMS) done.resolve({ kind: 'silent', reason: 'answered nonsense' })
    if (from.address !== address) return
    try {
      done.resolve({ kind: 'answered', answer: parseSearchAnswer(datagram, address) })
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error
      reason = error.message
    }
  })
  try {
    socket.bind(0, source)
    await once(socket, 'listening')
    socket.setMulticastInterface(source)
    socket.setMulticastTTL(2)
    const bounded = { waitsMs, clock, signal: AbortSignal.any([signal, over.signal]) }
    await Promise.race([repeat(socket, [GROUP, address], bounded), done.promise])
    done.resolve({ kind: 'silent', reason })
    return await done.promise
  } catch (error) {
    return { kind: 'silent', reason: String(error) }
  } finally {
    over.abort()
    socket.close()
  }
}

async function repeat(
  socket: Socket,
  hosts: readonly string[],
  { waitsMs, clock, signal }: Pick<Exchange<URL>, 'waitsMs' | 'clock' | 'signal'>,
): Promise<void> {
  for (const waitMs of waitsMs) {
    if (signal.aborted) return
    for (const host of hosts) socket.send(encodeSearch(host), PORT, host, () => undefined)
    await slept(clock, waitMs, signal)
  }
}
