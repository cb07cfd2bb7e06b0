/** What each input changes in a path's state. What follows from it is settle.ts's. */
import type { Candidate } from '../../protocol/endpoint-update.ts'
import { unreachable } from '../../protocol/errors.ts'
import { dataReceived } from './data-proof.ts'
import {
  again,
  checkingRelay,
  checkReceived,
  doubted,
  heard,
  hinted,
  punching,
  wanted,
} from './hints.ts'
import type { PathInput } from './machine.ts'
import {
  type CandidatePair,
  measured,
  pairAt,
  planned,
  replacePair,
  smoothed,
  unmeasured,
  unplanned,
  withCandidates,
  withPeerReflexive,
} from './pairs.ts'
import {
  directPair,
  isBlocked,
  isOnline,
  isResting,
  isSoughtIdle,
  type PathState,
} from './path-state.ts'
import {
  FIRST_ROUND_MS,
  IDLE_AFTER_MS,
  PUNCHED_MS,
  RELAY_TRUST_MS,
  RESTING_HEARTBEAT_MS,
  TRUST_MS,
  WARM_RELAY_TRUST_MS,
} from './timing.ts'
import { relayedDatagram, tunnelSeen, wireguardSent } from './tunnel-seen.ts'

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
      return state.phase.kind === 'idle' ? state : relaysChanged(state, nowMs)
    case 'check-answered':
      return checkAnswered(state, input, nowMs)
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
    case 'woken':
      return { ...state, session: { ...state.session, readyMs: nowMs } }
    case 'relayed-datagram':
      return relayedDatagram(state, nowMs)
    case 'tick':
      return state
    default:
      return unreachable(input)
  }
}

function learnCandidates(
  state: PathState,
  candidates: readonly Candidate[],
  nowMs: number,
): PathState {
  const pairs = withCandidates(state.pairs, candidates, nowMs)
  if (state.phase.kind === 'idle' && !isSoughtIdle(state))
    return { ...state, pairs: unplanned(pairs) }
  const isNew = pairs.some(({ endpoint }) => pairAt(state.pairs, endpoint) === undefined)
  return isNew ? hinted({ ...state, pairs }, nowMs) : { ...state, pairs }
}

/** Where no relay took the last check, none was sent, and the next need not wait. */
function relaysChanged(state: PathState, nowMs: number): PathState {
  const { relay } = checkingRelay(state, nowMs)
  return { ...state, relay: relay.available ? relay : { ...relay, sentMs: -Infinity } }
}

function relayAvailable(state: PathState, available: boolean, nowMs: number): PathState {
  if (state.relay.available === available) return state
  const changed: PathState = { ...state, relay: { ...state.relay, available } }
  if (available) return punching(changed, nowMs)
  // Nothing passed by it: a relay that does not reach a device that is off says so again and again.
  if (state.phase.kind === 'connecting') return changed
  return state.phase.kind === 'idle' ? wanted(changed, nowMs) : hinted(changed, nowMs)
}

function checkAnswered(
  state: PathState,
  { endpoint, roundTripMs, receivedBytes }: PathInput & { readonly kind: 'check-answered' },
  nowMs: number,
): PathState {
  const pair = pairAt(state.pairs, endpoint)
  if (pair === undefined || isBlocked(state, pair, nowMs)) return state
  const rests = isResting(state, nowMs) && directPair(state) === pair
  const answered = {
    ...measured(pair, roundTripMs),
    answeredMs: nowMs,
    // It was tried for want of a relay: what it carries counts anew.
    blockedUntilMs: -Infinity,
    trustedUntilMs: nowMs + TRUST_MS + (rests ? RESTING_HEARTBEAT_MS : 0),
  }
  const isTold = state.told !== undefined && pairAt([pair], state.told) === pair
  const proved = heard(
    {
      ...state,
      pairs: replacePair(state.pairs, answered),
      isReassertDue: state.isReassertDue || (isTold && state.hasRoamed),
    },
    nowMs,
  )
  return isTold && receivedBytes !== undefined ? dataReceived(proved, receivedBytes, nowMs) : proved
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

/** Checks all pairs once, now. The rounds go on as planned: were they to begin anew, and each round punches, two
 *  agents would keep each other checking for ever. Nor is it traffic: they would keep each other from resting. */
function punched(state: PathState, candidates: readonly Candidate[], nowMs: number): PathState {
  const pairs = candidates.reduce(
    (known, candidate) => withPeerReflexive(known, candidate, nowMs),
    state.pairs,
  )
  const told = heard({ ...state, pairs }, nowMs)
  const trafficMs = Math.max(state.trafficMs, nowMs - IDLE_AFTER_MS + PUNCHED_MS)
  const learned = state.phase.kind === 'idle' ? wanted(told, nowMs) : { ...told, trafficMs }
  const isDue = (pair: CandidatePair) => pair.sentMs + FIRST_ROUND_MS <= nowMs
  const checking = { ...learned, pairs: planned(learned.pairs, nowMs, isDue) }
  if (learned.phase.kind !== 'direct') return checking
  // The peer searches: the path in use may be gone, or another.
  const remeasured = checking.pairs.map(unmeasured)
  return doubted({ ...checking, ...again(state, nowMs), pairs: remeasured }, nowMs)
}

function networkChanged(state: PathState, nowMs: number): PathState {
  if (state.phase.kind === 'idle') return state
  const used = directPair(state)
  const pairs = state.pairs.map((pair) => ({
    ...unmeasured(pair),
    ...(pair === used
      ? {}
      : { trustedUntilMs: Math.min(pair.trustedUntilMs, nowMs), blockedUntilMs: -Infinity }),
  }))
  const doubting = doubted({ ...state, pairs }, nowMs)
  return hinted(punching(checkingRelay(doubting, nowMs), nowMs), nowMs)
}
