/** Admission: nothing runs on a connection before both ends have said hello (SPEC §7.1). */

import type { Connection, Stream } from '@libp2p/interface'
import { abortConnection } from '../../protocol/abort.ts'
import type { Clock } from '../../protocol/clock.ts'
import { BadSignatureError, MalformedError } from '../../protocol/errors.ts'
import { HELLO_PROTOCOL, type HelloPeer } from '../../protocol/hello.ts'
import type { HelloParty } from '../../protocol/hello-exchange.ts'
import type { Log } from '../../protocol/log.ts'
import { Pace } from '../../protocol/pace.ts'
import type { DeniedPeers } from './denied.ts'
import { deviceOf } from './device-peer.ts'
import { sayHello } from './hello-stream.ts'
import type { LinkKind, Links } from './links.ts'
import type { MeshNode } from './node.ts'
import { HelloTimeoutError, RefusedError } from './refused.ts'

/** Milliseconds from a connection's opening to the end of its hello. */
const HELLO_MS = 3000
/** Milliseconds a refused peer is denied: long enough to cost it, short enough for a renewed member. */
export const DENY_MS = 60_000
/** A peer that was only slow comes back soon. */
const DENY_SLOW_MS = 5000

/** Connections of one peer: two, where both ends dial, and as many again after each break. Each costs two
 *  milliseconds before anything is known of it. */
const CONNECTIONS = { burst: 64, perSecond: 1 } as const

export interface AdmissionOptions {
  readonly party: HelloParty
  readonly links: Links
  readonly denied: DeniedPeers
  kindOf(connection: Connection, who: HelloPeer): LinkKind
  readonly random: (n: number) => Uint8Array
  readonly clock: Clock
  readonly log: Log
}

export interface Admission {
  /** Resolves when the other end is admitted; rejects when it is refused or gone. */
  admitted(connection: Connection): Promise<HelloPeer>
}

type Gate = PromiseWithResolvers<HelloPeer>

/** Call before `node.start()`: gates every protocol but the hello, in and out. */
export async function startAdmission(
  mesh: MeshNode,
  options: AdmissionOptions,
): Promise<Admission> {
  const gates = new Map<string, Gate>()
  const pace = new Pace(CONNECTIONS)
  const gateOf = (connection: Connection): Gate => {
    const known = gates.get(connection.id)
    if (known !== undefined) return known
    const gate = Promise.withResolvers<HelloPeer>()
    gate.promise.catch(() => undefined) // whoever waits hears of it; nobody need wait
    // No event will come any more for one that has ended: a gate that is kept would never open.
    if (connection.status !== 'open') gate.reject(new Error('connection closed'))
    else gates.set(connection.id, gate)
    return gate
  }
  const greet = (connection: Connection, stream?: Stream): void => {
    const gate = gateOf(connection)
    sayHello(mesh.node.peerId, connection, stream, options).then(gate.resolve, gate.reject)
  }
  mesh.gateProtocols(async (protocol, connection) => {
    if (protocol !== HELLO_PROTOCOL) await gateOf(connection).promise
  })
  mesh.node.addEventListener('connection:open', ({ detail: connection }) => {
    const gate = gateOf(connection)
    watch(connection, gate, options)
    const isInbound = connection.direction === 'inbound'
    const nowMs = options.clock.monotonicMs()
    if (isInbound && !pace.spend(connection.remotePeer.toString(), 1, nowMs))
      gate.reject(new MalformedError('more connections than a member needs'))
    if (connection.direction === 'outbound') greet(connection)
  })
  mesh.node.addEventListener('connection:close', ({ detail: connection }) => {
    gateOf(connection).reject(new Error('connection closed'))
    gates.delete(connection.id)
    options.links.remove(connection)
  })
  await mesh.node.handle(HELLO_PROTOCOL, (stream, connection) => greet(connection, stream), {
    runOnLimitedConnection: true,
    maxInboundStreams: 1,
  })
  return { admitted: (connection) => gateOf(connection).promise }
}

/** Makes a link of an admitted connection and an end of any other. */
function watch(connection: Connection, gate: Gate, options: AdmissionOptions): void {
  const deadline = options.clock.after(HELLO_MS, () => gate.reject(new HelloTimeoutError(HELLO_MS)))
  gate.promise.then(
    (who) => {
      deadline.cancel()
      if (connection.status !== 'open') return
      const peer = connection.remotePeer.toString()
      const kind = options.kindOf(connection, who)
      options.links.add({ connection, who, peer, kind, sinceMs: options.clock.nowMs() })
    },
    (error: unknown) => {
      deadline.cancel()
      refuse(connection, error, options)
    },
  )
}

function refuse(connection: Connection, error: unknown, { denied, log }: AdmissionOptions): void {
  const peer = connection.remotePeer.toString()
  const cause = error instanceof Error ? error : new Error(String(error))
  abortConnection(connection, cause)
  const fields = {
    device: deviceOf(connection.remotePeer),
    address: connection.remoteAddr.toString(),
    reason: cause.message,
  }
  if (!isFaultOfPeer(cause)) {
    log('debug', 'mesh.hello-failed', { peer, ...fields })
    return
  }
  if (cause instanceof HelloTimeoutError) denied.deny(peer, DENY_SLOW_MS)
  else denied.deny(peer, DENY_MS, cause.message)
  denied.tell(peer, 'mesh.peer-refused', fields)
}

export function isFaultOfPeer(error: unknown): boolean {
  return (
    error instanceof RefusedError ||
    error instanceof HelloTimeoutError ||
    error instanceof MalformedError ||
    error instanceof BadSignatureError
  )
}
