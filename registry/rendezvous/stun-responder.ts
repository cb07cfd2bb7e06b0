/** STUN responder: tells whoever asks from which address and port the question came (RFC 8489). What is
 *  for the relay comes to the same UDP port, and is told apart by its first byte (SPEC §12.4). */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { isIPv6 } from 'node:net'
import { toHex } from '../../crypto/bytes.ts'
import { addressBytes, parseIpAddress } from '../../protocol/address.ts'
import type { Clock } from '../../protocol/clock.ts'
import { MalformedError } from '../../protocol/errors.ts'
import type { Log } from '../../protocol/log.ts'
import { isForRelay } from '../../protocol/relay-attach.ts'
import type { UdpRoute } from '../../protocol/relay-udp-session.ts'
import {
  encodeStun,
  isStun,
  parseStun,
  type ReceivedStun,
  type StunMessage,
} from '../../protocol/stun.ts'
import type { HostPort } from '../config.ts'
import { cannotListen, isMissingIpv6, stunText } from './listening.ts'

const SOFTWARE = 'nexodus'
/** An answer is no longer than its request, so that nobody gains by forging a source; but for requests of other STUN
 *  clients (20 bytes), whose answers may be so many times as long, and are few: in a second, to one source and to
 *  all. */
const AMPLIFICATION = 3
const LONGER = 5
const LONGER_IN_ALL = 100
/** Requests of one source (an IPv4 address, an IPv6 /64) in a second; a NAT may have many behind it. */
const REQUESTS = 200
/** Sources in a second; beyond them the responder is under attack and new ones are not answered. */
const SOURCES = 65_536
const WINDOW_MS = 1000
/** Answers to another port (RFC 5780 §7.5) that one source has in a second: a measurement needs three. They may
 *  reach somebody else behind the same NAT, and so are rare, never longer than the request, and never sent to
 *  the ports of the system's services. */
const ELSEWHERE = 5
const FIRST_PORT_ELSEWHERE = 1024
/** Bytes waiting for the kernel; beyond them datagrams are dropped, as a full link does. */
const QUEUE_BYTES = 1 << 22
/** Bytes of the kernel's buffers, where it allows so many: a burst of all members at once. */
const BUFFER_BYTES = 1 << 22

const BUFFERS = { recvBufferSize: BUFFER_BYTES, sendBufferSize: BUFFER_BYTES }

export interface StunResponderOptions {
  readonly listen: readonly HostPort[]
  /** A relay datagram, by its looks; nothing is known of who sent it. */
  onRelayDatagram?(datagram: Uint8Array, route: UdpRoute): void
  readonly clock: Pick<Clock, 'every'>
  readonly log: Log
}

export interface StunResponder extends AsyncDisposable {
  /** With the ports that the system chose. */
  readonly bound: readonly HostPort[]
}

/** Throws ConfigError where an address can't be listened on. */
export async function startStunResponder(options: StunResponderOptions): Promise<StunResponder> {
  await using started = new AsyncDisposableStack()
  const budget = newBudget()
  started.adopt(
    options.clock.every(WINDOW_MS, () => budget.renew()),
    (timer) => timer.cancel(),
  )
  const bound: HostPort[] = []
  for (const { host, port } of options.listen) {
    const socket = await listen({ host, port })
    if (socket === undefined) continue
    started.defer(() => close(socket))
    socket.on('error', (error) => options.log('warn', 'stun.socket-failed', { host, error }))
    socket.on('message', (request, from) => {
      if (isForRelay(request)) {
        options.onRelayDatagram?.(request, routeTo(socket, from))
      } else if (budget.mayAsk(from.address)) answer(socket, request, from, budget)
    })
    bound.push({ host, port: socket.address().port })
  }
  const stack = started.move()
  return { bound, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

/** Not where it was closed meanwhile. */
function hasRoom(socket: Socket): boolean {
  try {
    return socket.getSendQueueSize() <= QUEUE_BYTES
  } catch {
    return false
  }
}

function routeTo(socket: Socket, { address, port, family }: RemoteInfo): UdpRoute {
  return {
    name: `${family} ${address} ${port}`,
    send: (bytes) => {
      if (port === 0 || !hasRoom(socket)) return
      socket.send(bytes, port, address, () => undefined)
    },
  }
}

/** Undefined where the address is all of IPv6 and this machine has none. */
async function listen(where: HostPort): Promise<Socket | undefined> {
  const { host, port } = where
  const socket = isIPv6(host)
    ? createSocket({ type: 'udp6', ipv6Only: true, ...BUFFERS })
    : createSocket({ type: 'udp4', ...BUFFERS })
  try {
    socket.bind(port, host)
    await once(socket, 'listening')
    return socket
  } catch (cause) {
    socket.close()
    if (isMissingIpv6(where, cause)) return undefined
    throw cannotListen('--stun-listen', stunText([where]), cause)
  }
}

async function close(socket: Socket): Promise<void> {
  const closed = once(socket, 'close')
  socket.close()
  await closed
}

/** What is left of a second. */
interface Budget {
  mayAsk(source: string): boolean
  /** An answer to another port. */
  mayElsewhere(source: string): boolean
  /** An answer that is longer than its request. */
  mayLonger(source: string): boolean
  renew(): void
}

function newBudget(): Budget {
  const asked = new Map<string, number>()
  const elsewhere = new Map<string, number>()
  const longer = new Map<string, number>()
  let longerInAll = 0
  return {
    mayAsk: (source) => isWithinBudget(asked, source, REQUESTS),
    mayElsewhere: (source) => isWithinBudget(elsewhere, source, ELSEWHERE),
    mayLonger: (source) => {
      if (longerInAll >= LONGER_IN_ALL || !isWithinBudget(longer, source, LONGER)) return false
      longerInAll += 1
      return true
    },
    renew: () => {
      for (const spent of [asked, elsewhere, longer]) spent.clear()
      longerInAll = 0
    },
  }
}

function isWithinBudget(budget: Map<string, number>, address: string, most: number): boolean {
  const bytes = addressBytes(parseIpAddress(address.replace(/%.*$/, '')))
  const source = toHex(bytes.subarray(0, 8))
  const count = budget.get(source) ?? 0
  if (count >= most || (count === 0 && budget.size >= SOURCES)) return false
  budget.set(source, count + 1)
  return true
}

function answer(socket: Socket, request: Uint8Array, from: RemoteInfo, budget: Budget): void {
  const response = answerTo(request, from)
  if (response === undefined) return
  const { bytes, port } = response
  if (port !== from.port && !budget.mayElsewhere(from.address)) return
  if (bytes.length > request.length && !budget.mayLonger(from.address)) return
  // What the network does to an answer is not ours to mend.
  socket.send(bytes, port, from.address, () => undefined)
}

interface Answer {
  readonly bytes: Uint8Array
  /** Of the address that asked. */
  readonly port: number
}

/** Undefined for what is no binding request. */
function answerTo(bytes: Uint8Array, from: RemoteInfo): Answer | undefined {
  // A port of 0 can't be answered.
  if (!isStun(bytes) || from.port === 0) return undefined
  try {
    const request = parseStun(bytes)
    if (request.kind !== 'request') return undefined
    const { port = from.port, message } = responseTo(request, from)
    const most = port === from.port ? AMPLIFICATION * bytes.length : bytes.length
    const plain = encodeStun(message)
    const named = encodeStun({ ...message, software: SOFTWARE })
    if (plain.length > most) return undefined
    return { bytes: named.length <= bytes.length ? named : plain, port }
  } catch (error) {
    if (error instanceof MalformedError) return undefined
    throw error
  }
}

/** `port`: where not to the one that asked. */
function responseTo(
  { transactionId, unknownRequired, responsePort }: ReceivedStun,
  from: RemoteInfo,
): { readonly message: StunMessage; readonly port?: number } {
  const refusal = (code: number, reason: string): StunMessage => ({
    kind: 'error',
    transactionId,
    error: { code, reason },
  })
  if (unknownRequired.length > 0) {
    const unknownAttributes = unknownRequired.slice(0, 8)
    return { message: { ...refusal(420, 'Unknown Attribute'), unknownAttributes } }
  }
  if (responsePort !== undefined && responsePort < FIRST_PORT_ELSEWHERE) {
    return { message: refusal(400, 'Port') }
  }
  const address = parseIpAddress(from.address.replace(/%.*$/, ''))
  const message = {
    kind: 'success' as const,
    transactionId,
    mappedAddress: { address, port: from.port },
  }
  return responsePort === undefined ? { message } : { message, port: responsePort }
}
