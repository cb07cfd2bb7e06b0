/** What each input changes in a path's state. What follows from it is settle.ts's. */
import { type Endpoint, sameEndpoint } from '../../protocol/address.ts'
import type { Candidate } from '../../protocol/endpoint-update.ts'
import { unreachable } from '../../protocol/errors.ts'
import type { PathInput } from './machine.ts'
import {
  type CandidatePair,
  pairAt,
  planned,
  replacePair,
  unplanned,
  withCandidates,
  withPeerReflexive,
} from './pairs.ts'
import { directPair, isOnline, isResting, isSessionUp, type PathState } from './path-state.ts'
import {
  FIRST_ROUND_MS,
  RELAY_TRUST_MS,
  RESTING_HEARTBEAT_MS,
  SUSPECT_SPACING_MS,
  SUSPECT_TRUST_MS,
  TRIGGER_SPACING_MS,
  TRUST_MS,
  WARM_RELAY_TRUST_MS,
} from './timing.ts'

/** The state after `input`, before anything follows from it. */
export function absorb(state: PathState, input: PathInput, nowMs: number): PathState {
  switch (input.kind) {
    case 'peer-candidates':
      return learnCandidates(state, input.candidates, nowMs)
    case 'local-candidates':
      return state.phase.kind === 'idle' ? state : hinted(punching(state, nowMs), nowMs)
    case 'relay':
      return relayAvailable(state, input.available, nowMs)
    case 'relays-changed':
      return checkingRelay(state, nowMs)
    case 'check-answered':
      return checkAnswered(state, input.endpoint, input.roundTripMs, nowMs)
    case 'check-received':
      return checkReceived(state, input.endpoint, nowMs)
    case 'relay-check-answered':
      return relayAnswered(state, input.roundTripMs, nowMs)
    case 'relay-check-received':
      return relayCheckReceived(state, nowMs)
    case 'punched':
      return punched(state, input.candidates, nowMs)
    case 'network-changed':
      return networkChanged(state, nowMs)
    case 'tunnel':
      return tunnelSeen(state, input, nowMs)
    case 'wireguard-sent':
      return wireguardSent(state, input.message, nowMs)
    case 'relayed-datagram':
      return relayedDatagram(state, nowMs)
    case 'tick':
      return state
    default:
      return unreachable(input)
  }
}

/** A sign that checks may now succeed: rounds begin anew, at once. */
function hinted(state: PathState, nowMs: number): PathState {
  const nextMs = Math.max(nowMs, state.round.atMs + FIRST_ROUND_MS)
  return { ...state, round: { ...state.round, index: 0, nextMs } }
}

function punching(state: PathState, nowMs: number): PathState {
  return { ...state, punch: { ...state.punch, dueMs: nowMs } }
}

function checkingRelay(state: PathState, nowMs: number): PathState {
  return { ...state, relay: { ...state.relay, dueMs: nowMs } }
}

function heard(state: PathState, nowMs: number): PathState {
  return { ...state, heardMs: nowMs }
}

/** Someone wants this peer: from idle everything starts at once. */
function wanted(state: PathState, nowMs: number): PathState {
  if (state.phase.kind !== 'idle') return withTraffic(state, nowMs)
  const roused: PathState = {
    ...state,
    phase: { kind: 'connecting' },
    phaseSinceMs: nowMs,
    trafficMs: nowMs,
  }
  return hinted(punching(checkingRelay(roused, nowMs), nowMs), nowMs)
}

/** A path that rested is trusted for no longer than one that did not. */
function withTraffic(state: PathState, nowMs: number): PathState {
  const rested = isResting(state, nowMs) ? limitTrust(state, nowMs + TRUST_MS) : state
  return { ...rested, trafficMs: nowMs }
}

/** Shortens the trust in the pair in use, and checks it at once. */
function limitTrust(state: PathState, untilMs: number): PathState {
  const pair = directPair(state)
  if (pair === undefined) return state
  const trustedUntilMs = Math.min(pair.trustedUntilMs, untilMs)
  return checkNow({ ...state, pairs: replacePair(state.pairs, { ...pair, trustedUntilMs }) })
}

function checkNow(state: PathState): PathState {
  const pair = directPair(state)
  if (pair === undefined) return state
  const dueMs = pair.sentMs + TRIGGER_SPACING_MS
  return { ...state, pairs: replacePair(state.pairs, { ...pair, dueMs }) }
}

function learnCandidates(
  state: PathState,
  candidates: readonly Candidate[],
  nowMs: number,
): PathState {
  const pairs = withCandidates(state.pairs, candidates, nowMs)
  if (state.phase.kind === 'idle' && state.relay.available)
    return { ...state, pairs: unplanned(pairs) }
  const isNew = pairs.some(({ endpoint }) => pairAt(state.pairs, endpoint) === undefined)
  return isNew ? hinted({ ...state, pairs }, nowMs) : { ...state, pairs }
}

function relayAvailable(state: PathState, available: boolean, nowMs: number): PathState {
  if (state.relay.available === available) return state
  const changed: PathState = { ...state, relay: { ...state.relay, available } }
  if (available) return punching(changed, nowMs)
  return state.phase.kind === 'idle' ? wanted(changed, nowMs) : hinted(changed, nowMs)
}

function checkAnswered(
  state: PathState,
  endpoint: Endpoint,
  roundTripMs: number,
  nowMs: number,
): PathState {
  const pair = pairAt(state.pairs, endpoint)
  if (pair === undefined) return state
  const rests = isResting(state, nowMs) && directPair(state) === pair
  const answered = {
    ...pair,
    answeredMs: nowMs,
    trustedUntilMs: nowMs + TRUST_MS + (rests ? RESTING_HEARTBEAT_MS : 0),
    roundTripMs: smoothed(pair.roundTripMs, roundTripMs),
  }
  const isTold = state.told !== undefined && pairAt([pair], state.told) === pair
  return heard(
    {
      ...state,
      pairs: replacePair(state.pairs, answered),
      isReassertDue: state.isReassertDue || (isTold && state.hasRoamed),
    },
    nowMs,
  )
}

/** A quarter of each new measurement, as RFC 6298 smooths with an eighth: ours are rarer. */
function smoothed(known: number, measured: number): number {
  return Number.isFinite(known) ? known * 0.75 + measured * 0.25 : measured
}

/** A triggered check follows (RFC 8445 §7.3.1.4). */
function checkReceived(state: PathState, endpoint: Endpoint, nowMs: number): PathState {
  const pairs = withPeerReflexive(state.pairs, endpoint, nowMs)
  const pair = pairAt(pairs, endpoint)
  if (pair === undefined) return heard(state, nowMs)
  const isFresh = pair.trustedUntilMs > nowMs || pair.sentMs + TRIGGER_SPACING_MS > nowMs
  const dueMs = isFresh ? pair.dueMs : nowMs
  return heard({ ...state, pairs: replacePair(pairs, { ...pair, dueMs }) }, nowMs)
}

function relayAnswered(state: PathState, roundTripMs: number, nowMs: number): PathState {
  const warm = state.phase.kind === 'direct' ? WARM_RELAY_TRUST_MS : RELAY_TRUST_MS
  const relay = {
    ...state.relay,
    available: true,
    answeredMs: nowMs,
    trustedUntilMs: nowMs + warm,
    roundTripMs: smoothed(state.relay.roundTripMs, roundTripMs),
  }
  return heard({ ...state, relay }, nowMs)
}

/** The first word of a peer in a while: it has just started, and can be reached now. */
function relayCheckReceived(state: PathState, nowMs: number): PathState {
  if (isOnline(state, nowMs) || state.phase.kind === 'idle') return heard(state, nowMs)
  return hinted(punching(checkingRelay(heard(state, nowMs), nowMs), nowMs), nowMs)
}

/** Checks once, now. The rounds go on as planned: were they to begin anew, and each round punches, two
 *  agents would keep each other checking for ever. */
function punched(state: PathState, candidates: readonly Candidate[], nowMs: number): PathState {
  const pairs = candidates.reduce(
    (known, candidate) => withPeerReflexive(known, candidate, nowMs),
    state.pairs,
  )
  const learned = wanted(heard({ ...state, pairs }, nowMs), nowMs)
  if (learned.phase.kind === 'direct') return learned
  const isDue = (pair: CandidatePair) => pair.sentMs + FIRST_ROUND_MS <= nowMs
  return { ...learned, pairs: planned(learned.pairs, nowMs, isDue) }
}

function networkChanged(state: PathState, nowMs: number): PathState {
  if (state.phase.kind === 'idle') return checkingRelay(state, nowMs)
  const untilMs = nowMs + SUSPECT_TRUST_MS
  const pairs = state.pairs.map((pair) => ({
    ...pair,
    trustedUntilMs: Math.min(pair.trustedUntilMs, untilMs),
  }))
  return hinted(checkNow(punching(checkingRelay({ ...state, pairs }, nowMs), nowMs)), nowMs)
}

/** Bytes of two keepalives, and of both handshake messages and a keepalive: no user's packets. */
const KEEPALIVE_BYTES = 64
const HANDSHAKE_BYTES = 148 + 92 + 32

type TunnelSeen = PathInput & { readonly kind: 'tunnel' }

function tunnelSeen(state: PathState, seen: TunnelSeen, nowMs: number): PathState {
  const { session } = state
  const counted: PathState = {
    ...state,
    bytes: { received: seen.receivedBytes, sent: seen.sentBytes },
    session: { ...session, upMs: Math.max(session.upMs, seen.handshakeMs) },
  }
  const active = isTraffic(state, seen) ? wanted(counted, nowMs) : counted
  return endpointSeen(active, seen.endpoint, nowMs)
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
  if (state.told === undefined) return checkReceived(state, endpoint, nowMs)
  // Both sides chose a path of their own: the choice of the side that initiates stands.
  if (state.initiates) return checkNow({ ...state, hasRoamed: true })
  return { ...state, phase: { kind: 'direct', endpoint }, told: endpoint, hasRoamed: false }
}

function isProvedAt(state: PathState, endpoint: Endpoint | undefined, nowMs: number): boolean {
  const pair = pairAt(state.pairs, endpoint)
  return pair !== undefined && pair.trustedUntilMs > nowMs
}

function wireguardSent(
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

/** Something passed by the relay although the direct path is in use: WireGuard moved, or the peer
 *  lost the path. The next answered check tells which. */
function suspected(state: PathState, nowMs: number): PathState {
  if (state.told === undefined) return state
  const roamed = { ...state, hasRoamed: true }
  if (nowMs - state.suspectedMs < SUSPECT_SPACING_MS) return roamed
  return limitTrust({ ...roamed, suspectedMs: nowMs }, nowMs + SUSPECT_TRUST_MS)
}

function relayedDatagram(state: PathState, nowMs: number): PathState {
  return wanted(suspected(heard(state, nowMs), nowMs), nowMs)
}
