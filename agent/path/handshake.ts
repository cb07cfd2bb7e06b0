/** One initiator: which WireGuard handshake messages pass between WireGuard and its peer, and when.
 *
 *  When both sides initiate within a round trip each resets the other's handshake, and WireGuard tries
 *  again only after REKEY_TIMEOUT, 5 s. So the lower device key initiates. The other side's agent holds
 *  its own WireGuard's initiation for a while, and discards it when the peer's comes; the lower key's
 *  agent drops the peer's while its own is young. WireGuard also sends an initiation only once in 5 s,
 *  so a lost one costs as much: the agent repeats the very bytes, which the responder accepts once (the
 *  timestamp inside, whitepaper §5.1) and drops after; and it repeats its own WireGuard's response to a
 *  repeated initiation. Pure. */
import { equal } from '../../crypto/bytes.ts'
import { CROSSING_MS, REKEY_TIMEOUT_MS } from './timing.ts'

/** The first repetition of an initiation, milliseconds, doubling: a round trip within a continent. When both agents
 *  start, the first message may come before the peer's WireGuard, or a hole in its NAT, is there. */
const FIRST_REPEAT_MS = 40

/** Whitepaper §5.4: the type is the first byte, three zero bytes follow; `keepalive` is data of length 0. */
export type WireguardMessage =
  | 'initiation'
  | 'response'
  | 'cookie'
  | 'keepalive'
  | 'data'
  | 'unknown'

export interface HandshakeState {
  readonly initiates: boolean
  /** Our WireGuard's initiation, not known to be answered; not sent yet while `sends` is 0. */
  readonly own: Initiation | undefined
  /** The peer's last initiation that reached our WireGuard, and what that answered. */
  readonly peer:
    | { readonly initiation: Uint8Array; readonly response: Uint8Array | undefined }
    | undefined
}

interface Initiation {
  readonly datagram: Uint8Array
  readonly seenMs: number
  readonly sends: number
  readonly dueMs: number
}

export function initialHandshake(initiates: boolean): HandshakeState {
  return { initiates, own: undefined, peer: undefined }
}

export function wireguardMessage(datagram: Uint8Array): WireguardMessage {
  const [type, a, b, c] = datagram
  if (a !== 0 || b !== 0 || c !== 0) return 'unknown'
  if (type === 1) return datagram.length === 148 ? 'initiation' : 'unknown'
  if (type === 2) return datagram.length === 92 ? 'response' : 'unknown'
  if (type === 3) return datagram.length === 64 ? 'cookie' : 'unknown'
  if (type !== 4 || datagram.length < 32) return 'unknown'
  return datagram.length === 32 ? 'keepalive' : 'data'
}

/** Our WireGuard sent `datagram` to the loopback socket. An initiation is not sent here: `repeat` says
 *  when. @param holdMs how long the side that does not initiate waits for the other */
export function outgoing(
  state: HandshakeState,
  datagram: Uint8Array,
  nowMs: number,
  holdMs: number,
): { readonly state: HandshakeState; readonly send: boolean } {
  switch (wireguardMessage(datagram)) {
    case 'initiation': {
      const dueMs = state.initiates ? nowMs : nowMs + holdMs
      return { state: { ...state, own: { datagram, seenMs: nowMs, sends: 0, dueMs } }, send: false }
    }
    case 'response': {
      const { peer: last } = state
      const peer =
        last !== undefined && answers(datagram, last.initiation)
          ? { initiation: last.initiation, response: datagram }
          : last
      return { state: { ...state, own: undefined, peer }, send: true }
    }
    default:
      return { state, send: true }
  }
}

/** Bytes 8 to 12 of a response repeat bytes 4 to 8 of its initiation: the initiator's index. */
function answers(response: Uint8Array, initiation: Uint8Array): boolean {
  return equal(response.subarray(8, 12), initiation.subarray(4, 8))
}

/** The peer's `datagram` came by the relay: whether it goes to our WireGuard, and what goes back. */
export function incoming(
  state: HandshakeState,
  datagram: Uint8Array,
  nowMs: number,
): {
  readonly state: HandshakeState
  readonly inject: boolean
  readonly reply?: Uint8Array
} {
  switch (wireguardMessage(datagram)) {
    case 'initiation': {
      if (state.initiates && state.own !== undefined && nowMs - state.own.seenMs < CROSSING_MS) {
        return { state, inject: false }
      }
      if (state.peer?.response !== undefined && equal(state.peer.initiation, datagram)) {
        return { state, inject: false, reply: state.peer.response }
      }
      const peer = { initiation: datagram, response: undefined }
      return { state: { ...state, own: undefined, peer }, inject: true }
    }
    case 'response':
      return { state: { ...state, own: undefined }, inject: true }
    default:
      return { state, inject: true }
  }
}

/** Our initiation where it is due, for the first time or again; after REKEY_TIMEOUT WireGuard makes
 *  a new one. */
export function repeat(
  state: HandshakeState,
  nowMs: number,
): { readonly state: HandshakeState; readonly send?: Uint8Array; readonly isRepeated: boolean } {
  const { own } = state
  if (own === undefined || own.dueMs > nowMs) return { state, isRepeated: false }
  if (nowMs - own.seenMs >= REKEY_TIMEOUT_MS) {
    return { state: { ...state, own: undefined }, isRepeated: false }
  }
  const dueMs = nowMs + FIRST_REPEAT_MS * 2 ** own.sends
  return {
    state: { ...state, own: { ...own, sends: own.sends + 1, dueMs } },
    send: own.datagram,
    isRepeated: own.sends > 0,
  }
}

/** The first path to the peer has just appeared: what was sent before went nowhere. The peer has it at the
 *  same moment, so the side that does not initiate waits anew for the peer's. */
export function pathAppeared(state: HandshakeState, nowMs: number, holdMs: number): HandshakeState {
  const { own, initiates } = state
  if (own === undefined) return state
  return { ...state, own: { ...own, dueMs: initiates ? nowMs : nowMs + holdMs } }
}

/** The peer or another path to it has just appeared: what was sent before was probably lost. */
export function repeatNow(state: HandshakeState, nowMs: number, holdMs: number): HandshakeState {
  const { own, initiates } = state
  if (own === undefined || own.sends === 0) return state
  const soonMs = initiates ? nowMs : nowMs + holdMs
  return { ...state, own: { ...own, dueMs: Math.min(own.dueMs, soonMs) } }
}

/** A handshake is done, as WireGuard shows: nothing is to be repeated. */
export function completed(state: HandshakeState): HandshakeState {
  return state.own === undefined ? state : { ...state, own: undefined }
}

/** The next moment at which `repeat` acts. */
export function repeatDueMs({ own }: HandshakeState): number {
  return own?.dueMs ?? Infinity
}
