/** What the virtual WireGuard keeps of a peer, and an empty message of its. */
import type { AgreementPublicKey } from '../../../crypto/agreement.ts'
import type { Endpoint } from '../../../protocol/address.ts'

export interface Session {
  readonly own: number
  readonly theirs: number
  readonly bornMs: number
  readonly isInitiator: boolean
  sent: number
  /** Counters of what came: a repetition is dropped, and moves no endpoint (RFC 6479). */
  readonly seen: Set<number>
}

export interface Peer {
  readonly key: AgreementPublicKey
  readonly name: string
  endpoint: Endpoint | undefined
  keepaliveSeconds: number
  sessions: readonly Session[]
  /** What is sent with; a responder's session counts from the first datum that came by it. */
  current: Session | undefined
  /** Index of the own initiation that waits for a response. */
  awaited: number | undefined
  initiatedMs: number
  attemptSinceMs: number
  /** Of the newest initiation taken: older ones are replays. */
  stamp: number
  staged: Uint8Array[]
  sentMs: number
  receivedMs: number
  /** A datum went out and nothing came since. */
  unansweredMs: number
  keepaliveDueMs: number
  handshakeMs: number
  bytes: { received: number; sent: number }
}

export function newPeer(
  key: AgreementPublicKey,
  name: string,
  endpoint: Endpoint | undefined,
): Peer {
  return {
    key,
    name,
    endpoint,
    keepaliveSeconds: 0,
    sessions: [],
    current: undefined,
    awaited: undefined,
    initiatedMs: -Infinity,
    attemptSinceMs: -Infinity,
    stamp: -Infinity,
    staged: [],
    sentMs: -Infinity,
    receivedMs: -Infinity,
    unansweredMs: Infinity,
    keepaliveDueMs: Infinity,
    handshakeMs: 0,
    bytes: { received: 0, sent: 0 },
  }
}

export function message(type: number, length: number): { bytes: Uint8Array; view: DataView } {
  const bytes = new Uint8Array(length)
  bytes[0] = type
  return { bytes, view: new DataView(bytes.buffer) }
}
