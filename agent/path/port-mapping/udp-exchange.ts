/** UDP exchange: one request to one gateway, repeated until an answer is taken. */
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { addressFamily } from '../../../protocol/address.ts'
import type { Clock } from '../../../protocol/clock.ts'
import type { Gateway } from '../../host/gateway.ts'

/** Datagrams looked at for one request: what sends more is no gateway. */
const DATAGRAMS = 32

export interface Exchange<T> {
  readonly gateway: Gateway
  readonly port: number
  readonly request: Uint8Array
  /** Milliseconds after each transmission; the last is how long an answer may take to the end. */
  readonly waitsMs: readonly number[]
  /** Undefined for what is no answer to the request. */
  take(datagram: Uint8Array): T | undefined
  readonly clock: Clock
  readonly signal: AbortSignal
}

export type Exchanged<T> =
  | { readonly kind: 'answered'; readonly answer: T }
  /** Nobody answered, or nobody is there; the reason is for the operator. */
  | { readonly kind: 'silent'; readonly reason: string }

/** The socket is connected: the kernel drops what comes from another address or port, and tells when
 *  nothing listens there. Never throws: no network is no answer. */
export async function exchange<T>(options: Exchange<T>): Promise<Exchanged<T>> {
  const { gateway, port } = options
  const socket = createSocket(addressFamily(gateway.address) === 4 ? 'udp4' : 'udp6')
  const done = Promise.withResolvers<Exchanged<T>>()
  const over = new AbortController()
  socket.on('error', (error) => done.resolve(silence(error)))
  let looked = 0
  socket.on('message', (datagram) => {
    looked += 1
    const answer = options.take(datagram)
    if (answer !== undefined) done.resolve({ kind: 'answered', answer })
    else if (looked >= DATAGRAMS) done.resolve({ kind: 'silent', reason: 'answered nonsense' })
  })
  try {
    socket.bind(0, gateway.source)
    await once(socket, 'listening')
    socket.connect(port, reachable(gateway))
    await once(socket, 'connect')
    const signal = AbortSignal.any([options.signal, over.signal])
    await Promise.race([repeat(socket, { ...options, signal }), done.promise])
    done.resolve({ kind: 'silent', reason: 'no answer' })
    return await done.promise
  } catch (error) {
    return silence(error)
  } finally {
    over.abort()
    socket.close()
  }
}

/** Until the time is up; ends early when the signal is aborted. */
async function repeat<T>(
  socket: Socket,
  { request, waitsMs, clock, signal }: Exchange<T>,
): Promise<void> {
  for (const waitMs of waitsMs) {
    if (signal.aborted) return
    // What can't be sent is told by the error event, or is lost as on any network.
    socket.send(request, () => undefined)
    await slept(clock, waitMs, signal)
  }
}

/** Resolves after `ms`, or when the signal is aborted. */
export async function slept(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  try {
    await clock.sleep(ms, signal)
  } catch (error) {
    if (!signal.aborted) throw error
  }
}

/** A link-local address means nothing without its interface. */
function reachable({ address, interfaceName }: Gateway): string {
  return /^fe[89ab]/.test(address) ? `${address}%${interfaceName}` : address
}

function silence(error: unknown): { kind: 'silent'; reason: string } {
  const code = error instanceof Error && 'code' in error ? String(error.code) : String(error)
  return { kind: 'silent', reason: code === 'ECONNREFUSED' ? 'nothing listens there' : code }
}
