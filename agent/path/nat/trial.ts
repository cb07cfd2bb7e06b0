/** Trial: does a mapping outlive a wait without traffic (RFC 5780 §4.6)? One socket makes the mapping, another
 *  then has the server answer to it, so that nothing but the answer touches it. */
import { equal } from '../../../crypto/bytes.ts'
import { addressFamily, type Endpoint } from '../../../protocol/address.ts'
import type { Clock } from '../../../protocol/clock.ts'
import { MalformedError } from '../../../protocol/errors.ts'
import {
  encodeStun,
  parseStun,
  type ReceivedStun,
  type StunMessage,
  TRANSACTION_ID_BYTES,
} from '../../../protocol/stun.ts'
import { openProbeSocket, type ProbeSocket } from './probe-socket.ts'

/** Traffic both ways before the wait: there are NATs that keep what lasts two seconds for longer. */
const WARM_UPS = 3
const WARM_UP_MS = 1200
/** Requests that one answer is enough to, and the wait for it. */
const TRIES = 3
const TRY_MS = 800
/** Makes a request as long as its answer over IPv6 (SPEC §10.6). */
const PADDING = 'lifetime of a NAT'

export interface TrialOptions {
  readonly server: Endpoint
  readonly clock: Clock
  random(length: number): Uint8Array
  readonly signal: AbortSignal
}

/** Why a lifetime can't be measured; for people. */
export class LifetimeError extends Error {
  override readonly name = 'LifetimeError'
  readonly code = 'ERR_LIFETIME'
}

/** Throws LifetimeError where the server does not answer or does not know RESPONSE-PORT, and the signal's
 *  reason where it is aborted. @param wait seconds */
export async function tryLifetime(wait: number, options: TrialOptions): Promise<boolean> {
  const { clock, signal } = options
  using subject = await openSpeaker(options)
  for (let index = 1; index < WARM_UPS; index++) {
    await subject.ask({})
    await clock.sleep(WARM_UP_MS, signal)
  }
  const mapped = mappedOf(await subject.ask({}))
  await clock.sleep(wait * 1000, signal)
  using asker = await openSpeaker(options)
  const seen = mappedOf(await asker.ask({}))
  if (seen.address !== mapped.address) {
    throw new LifetimeError('the NAT gives this device more than one address, by turns')
  }
  // The sockets are there until it is answered.
  return await asker.askFor(subject, mapped.port)
}

function mappedOf(answer: ReceivedStun | undefined): Endpoint {
  if (answer?.mappedAddress !== undefined) return answer.mappedAddress
  throw new LifetimeError('the STUN server does not answer')
}

interface Speaker extends Disposable {
  /** The answer, if one came. */
  ask(say: Pick<StunMessage, 'responsePort' | 'software'>): Promise<ReceivedStun | undefined>
  /** Has the server answer to another's port; did it arrive there? Throws where the server refuses. */
  askFor(other: Speaker, port: number): Promise<boolean>
  /** Resolves when an answer with this id has arrived. */
  heard(transactionId: Uint8Array): Promise<ReceivedStun>
}

async function openSpeaker({ server, clock, random, signal }: TrialOptions): Promise<Speaker> {
  const waiting = new Map<Uint8Array, (message: ReceivedStun) => void>()
  const socket: ProbeSocket = await openProbeSocket(
    addressFamily(server.address),
    server,
    (datagram) => {
      const message = parsed(datagram)
      if (message === undefined) return
      for (const [id, tell] of waiting) if (equal(id, message.transactionId)) tell(message)
    },
  )
  const heard = (transactionId: Uint8Array): Promise<ReceivedStun> => {
    const { promise, resolve } = Promise.withResolvers<ReceivedStun>()
    waiting.set(transactionId, resolve)
    return promise
  }
  const repeated = async (
    say: Pick<StunMessage, 'responsePort' | 'software'>,
    answers: (transactionId: Uint8Array) => readonly Promise<ReceivedStun>[],
  ): Promise<ReceivedStun | undefined> => {
    const transactionId = random(TRANSACTION_ID_BYTES)
    const arrived = Promise.race(answers(transactionId))
    for (let index = 0; index < TRIES; index++) {
      socket.send(encodeStun({ kind: 'request', transactionId, ...say }), server)
      const first = await Promise.race([arrived, clock.sleep(TRY_MS, signal)])
      if (first !== undefined) return first
    }
    return undefined
  }
  return {
    heard,
    ask: (say) => repeated(say, (id) => [heard(id)]),
    askFor: async (other, responsePort) => {
      const say = { responsePort, software: PADDING }
      const answer = await repeated(say, (id) => [other.heard(id), heard(id)])
      if (answer?.kind === 'error') throw refused(answer)
      return answer?.kind === 'success'
    },
    [Symbol.dispose]: () => socket.close(),
  }
}

function refused({ error }: ReceivedStun): LifetimeError {
  return new LifetimeError(
    error?.code === 420
      ? 'the STUN server does not know RESPONSE-PORT (is the registry of an earlier version?)'
      : `the STUN server refuses: ${error?.code} ${error?.reason}`,
  )
}

function parsed(datagram: Uint8Array): ReceivedStun | undefined {
  try {
    const message = parseStun(datagram)
    return message.kind === 'success' || message.kind === 'error' ? message : undefined
  } catch (error) {
    if (error instanceof MalformedError) return undefined
    throw error
  }
}
