/** What is learned from WireGuard: its counters, and the datagrams it gives to the loopback socket. */
import { type Endpoint, sameEndpoint } from '../../protocol/address.ts'
import { unreachable } from '../../protocol/errors.ts'
import { dataSent } from './data-proof.ts'
import { checkNow, checkReceived, doubted, heard, suspected, wanted } from './hints.ts'
import type { PathInput } from './machine.ts'
import { pairAt } from './pairs.ts'
import { directPair, isOverdue, isSessionUp, type PathState } from './path-state.ts'
import { BETTER_ROUND_MS, INITIATION_BYTES, KEEPALIVE_BYTES, RESPONSE_BYTES } from './timing.ts'

/** Bytes of both handshake messages and a keepalive: no user's packets. */
const HANDSHAKE_BYTES = INITIATION_BYTES + RESPONSE_BYTES + 32

type TunnelSeen = PathInput & { readonly kind: 'tunnel' }

/** What WireGuard shows of the peer: its traffic, its session and its endpoint. */
export function tunnelSeen(state: PathState, seen: TunnelSeen, nowMs: number): PathState {
  const { session } = state
  const counted: PathState = {
    ...silenceSeen(state, seen, nowMs),
    bytes: { received: seen.receivedBytes, sent: seen.sentBytes },
    session: { ...session, upMs: Math.max(session.upMs, seen.handshakeMs) },
  }
  const sent = dataSent(counted, seen.sentBytes - (state.bytes?.sent ?? seen.sentBytes), nowMs)
  const active = isTraffic(state, seen) ? wanted(sent, nowMs) : sent
  return endpointSeen(active, seen.endpoint, nowMs)
}

/** Packets leave and none comes. The first time the path is checked, the second time it is doubted, if
 *  there was no answer: few conversations are so, and a check costs little. */
function silenceSeen(
  state: PathState,
  { receivedBytes, sentBytes }: TunnelSeen,
  nowMs: number,
): PathState {
  const { bytes, told } = state
  const isSilent =
    bytes !== undefined &&
    receivedBytes === bytes.received &&
    sentBytes - bytes.sent > KEEPALIVE_BYTES
  if (!isSilent || told === undefined) return { ...state, isSilent }
  if (!state.isSilent) return checkNow({ ...state, isSilent })
  const pair = directPair(state)
  return pair !== undefined && isOverdue(pair, nowMs) ? doubted(state, nowMs) : state
}

/** Initiations that nobody answers count as sent, so sending shows only in larger numbers; what this
 *  misses comes to light when WireGuard's packets reach the loopback socket of an idle peer. */
function isTraffic({ bytes, session }: PathState, seen: TunnelSeen): boolean {
  if (bytes === undefined) return false
  const most = seen.handshakeMs > session.upMs ? HANDSHAKE_BYTES : KEEPALIVE_BYTES
  return seen.receivedBytes - bytes.received > most || seen.sentBytes - bytes.sent > HANDSHAKE_BYTES
}

/** WireGuard's endpoint is where the peer's last authenticated packet came from. */
function endpointSeen(state: PathState, endpoint: Endpoint | undefined, nowMs: number): PathState {
  if (sameEndpoint(state.told, endpoint)) return state
  if (state.told !== undefined && !isProvedAt(state, endpoint, nowMs)) {
    return checkNow({ ...state, hasRoamed: true })
  }
  if (endpoint === undefined) return state
  if (state.told === undefined) {
    // Its initiations must pass through the agent as long as there is no session; and where the relay is in use, an
    // endpoint that is not proved may lead nowhere.
    const isAstray = state.phase.kind === 'relayed' && !isProvedAt(state, endpoint, nowMs)
    const isReassertDue = state.isReassertDue || isAstray || !isSessionUp(state, nowMs)
    return { ...checkReceived(state, endpoint, nowMs), isReassertDue }
  }
  // Both sides chose a path of their own: the choice of the side that initiates stands.
  if (state.initiates) return checkNow({ ...state, hasRoamed: true })
  const movableMs = nowMs + BETTER_ROUND_MS
  return {
    ...state,
    phase: { kind: 'direct', endpoint },
    told: endpoint,
    hasRoamed: false,
    movableMs,
  }
}

function isProvedAt(state: PathState, endpoint: Endpoint | undefined, nowMs: number): boolean {
  const pair = pairAt(state.pairs, endpoint)
  return pair !== undefined && pair.trustedUntilMs > nowMs
}

/** WireGuard's datagram reached the loopback socket. */
export function wireguardSent(
  state: PathState,
  message: (PathInput & { readonly kind: 'wireguard-sent' })['message'],
  nowMs: number,
): PathState {
  const { session } = state
  switch (message) {
    case 'initiation': {
      const seen = { ...state, session: { ...session, initiatedMs: nowMs } }
      return session.isAwake ? seen : wanted(seen, nowMs)
    }
    case 'response':
      return state
    case 'keepalive':
      return suspected(sessionSeen(state, nowMs), nowMs)
    case 'data':
      return wanted(suspected(sessionSeen(state, nowMs), nowMs), nowMs)
    default:
      return unreachable(message)
  }
}

function sessionSeen(state: PathState, nowMs: number): PathState {
  if (isSessionUp(state, nowMs)) return state
  return { ...state, session: { ...state.session, upMs: nowMs } }
}

/** The peer's datagram came by the relay. */
export function relayedDatagram(state: PathState, nowMs: number): PathState {
  return wanted(suspected(heard(state, nowMs), nowMs), nowMs)
}
