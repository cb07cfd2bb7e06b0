/** Admission: nothing runs on a connection before its device has said hello (SPEC §7.1), and the
 *  registry has answered with the issuer key of the organization that was greeted. */

import type { Connection, PeerId, Stream } from '@libp2p/interface'
import type { RandomBytes } from '../../crypto/random.ts'
import { abortConnection } from '../../protocol/abort.ts'
import type { Clock } from '../../protocol/clock.ts'
import { BadSignatureError, MalformedError } from '../../protocol/errors.ts'
import { HELLO_BYTES, HELLO_PROTOCOL } from '../../protocol/hello.ts'
import { answerHello, type HelloParty } from '../../protocol/hello-exchange.ts'
import type { OrganizationId } from '../../protocol/keys.ts'
import type { Log } from '../../protocol/log.ts'
import { Pace } from '../../protocol/pace.ts'
import { frameChannel } from './frames.ts'
import { deviceOfPeer, type Link, type Links } from './links.ts'
import type { RendezvousNode } from './node.ts'
import type { Strangers } from './strangers.ts'
import { StreamPace } from './stream-pace.ts'

/** Milliseconds from a connection's opening to the end of its hello. */
const HELLO_MS = 3000
const NONCE_BYTES = 16
/** Milliseconds a refused peer is turned away before a hello is spent on it. */
export const DENIED_MS = 60_000
/** The same of one that was only slow. */
const SLOW_DENIED_MS = 5000

/** The other end is no device of ours. */
export class RefusedPeerError extends Error {
  override readonly name = 'RefusedPeerError'
  readonly code = 'ERR_REFUSED_PEER'
}

/** It said nothing, or not enough. */
class SilentPeerError extends RefusedPeerError {}

/** Connections of one peer, each of which costs two milliseconds before anything is known of it. */
const CONNECTIONS = { burst: 64, perSecond: 1 } as const

export interface AdmissionOptions {
  /** Who speaks for an organization; undefined of one that this registry does not have. */
  partyOf(organization: OrganizationId): HelloParty | undefined
  readonly links: Links
  readonly strangers: Strangers
  readonly clock: Clock
  readonly randomBytes: RandomBytes
  readonly log: Log
}

type Gate = PromiseWithResolvers<Link>

/** To be called before the node starts. */
export async function startAdmission(
  rendezvous: RendezvousNode,
  options: AdmissionOptions,
): Promise<void> {
  const { node, gateProtocols } = rendezvous
  const streams = new StreamPace(options)
  const connections = new Pace(CONNECTIONS)
  const gates = new Map<string, Gate>()
  const gateOf = (connection: Connection): Gate => {
    const known = gates.get(connection.id)
    if (known !== undefined) return known
    const gate = Promise.withResolvers<Link>()
    gate.promise.catch(() => undefined) // whoever waits hears of it; nobody need wait
    // No event will come any more for one that has ended: a gate that is kept would never open.
    if (connection.status !== 'open') gate.reject(new Error('connection closed'))
    else gates.set(connection.id, gate)
    return gate
  }
  gateProtocols(async (protocol, connection) => {
    if (protocol !== HELLO_PROTOCOL) await gateOf(connection).promise
  })
  node.addEventListener('connection:open', ({ detail: connection }) => {
    const gate = gateOf(connection)
    watch(connection, gate, options)
    const peer = connection.remotePeer.toString()
    if (!connections.spend(peer, 1, options.clock.monotonicMs()))
      gate.reject(new RefusedPeerError('more connections than a device needs'))
  })
  node.addEventListener('connection:close', ({ detail: connection }) => {
    gateOf(connection).reject(new Error('connection closed'))
    gates.delete(connection.id)
    options.links.remove(connection)
  })
  const answer = (stream: Stream, connection: Connection): void => {
    const gate = gateOf(connection)
    // Who is admitted stays who it is: another hello could only confuse.
    if (options.links.of(connection) !== undefined) {
      stream.abort(new Error('admitted already'))
      return
    }
    greet(node.peerId, stream, connection, options)
      .then((link) => {
        streams.watch(link, rendezvous)
        return link
      })
      .then(gate.resolve, gate.reject)
  }
  await node.handle(HELLO_PROTOCOL, answer, { runOnLimitedConnection: true, maxInboundStreams: 1 })
}

/** Makes a link of an admitted connection and an end of any other. */
function watch(connection: Connection, gate: Gate, options: AdmissionOptions): void {
  const late = () => gate.reject(new SilentPeerError(`no hello within ${HELLO_MS} ms`))
  const deadline = options.clock.after(HELLO_MS, late)
  gate.promise.then(
    () => deadline.cancel(),
    (error: unknown) => {
      deadline.cancel()
      refuse(connection, error, options)
    },
  )
}

async function greet(
  self: PeerId,
  stream: Stream,
  connection: Connection,
  { partyOf, links, strangers, clock, randomBytes }: AdmissionOptions,
): Promise<Link> {
  const signal = AbortSignal.timeout(HELLO_MS)
  const peer = connection.remotePeer.toString()
  const { party, verdict } = await answerHello(
    frameChannel(stream, HELLO_BYTES, signal),
    {
      ours: self.toString(),
      theirs: peer,
      peerDevice: deviceOfPeer(connection.remotePeer),
      nonce: randomBytes(NONCE_BYTES),
      now: () => clock.now(),
    },
    partyOf,
  )
  if (!verdict.ok || party === undefined) {
    throw new RefusedPeerError(verdict.ok ? 'wrong-organization' : verdict.refusal)
  }
  if (verdict.who.kind !== 'device') throw new RefusedPeerError('not-member')
  if (connection.status !== 'open') throw new Error('connection closed')
  const { device, name } = verdict.who
  const link = { connection, peer, organization: party.organization, device, name }
  // In this turn: whoever waits for the gate finds the link.
  links.add(link)
  strangers.allow(peer)
  stream.close({ signal }).catch((error: unknown) => stream.abort(asError(error)))
  return link
}

function refuse(
  connection: Connection,
  error: unknown,
  { strangers, log }: AdmissionOptions,
): void {
  const peer = connection.remotePeer.toString()
  const cause = asError(error)
  abortConnection(connection, cause)
  const fields = { address: connection.remoteAddr.toString(), reason: cause.message }
  if (!isFaultOfPeer(cause)) {
    log('debug', 'rendezvous.hello-failed', { peer, ...fields })
    return
  }
  strangers.deny(peer, cause instanceof SilentPeerError ? SLOW_DENIED_MS : DENIED_MS)
  strangers.tell(peer, 'rendezvous.peer-refused', fields)
}

export function isFaultOfPeer(error: unknown): boolean {
  return (
    error instanceof RefusedPeerError ||
    error instanceof MalformedError ||
    error instanceof BadSignatureError
  )
}

export function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
