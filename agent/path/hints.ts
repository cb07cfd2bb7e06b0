/** Changes that several inputs make in a path's state: what is due at once, and what is no longer believed. */
import type { Endpoint } from '../../protocol/address.ts'
import { pairAt, replacePair, withPeerReflexive } from './pairs.ts'
import { directPair, isBlocked, isResting, type PathState } from './path-state.ts'
import {
  AGAIN_MS,
  FIRST_ROUND_MS,
  SUSPECT_CLEARED_MS,
  SUSPECT_SPACING_MS,
  SUSPECT_TRUST_MS,
  TRIGGER_SPACING_MS,
  TRUST_MS,
} from './timing.ts'

/** A sign that checks may now succeed: rounds begin anew, at once. */
export function hinted(state: PathState, nowMs: number): PathState {
  const nextMs = Math.max(nowMs, state.round.atMs + FIRST_ROUND_MS)
  return { ...state, round: { ...state.round, index: 0, nextMs } }
}

/** A second round over all pairs soon. */
export function again(state: PathState, nowMs: number): Pick<PathState, 'round'> {
  return { round: { ...state.round, index: 1, nextMs: nowMs + AGAIN_MS } }
}

export function punching(state: PathState, nowMs: number): PathState {
  return { ...state, punch: { ...state.punch, dueMs: nowMs } }
}

export function checkingRelay(state: PathState, nowMs: number): PathState {
  return { ...state, relay: { ...state.relay, dueMs: nowMs } }
}

export function heard(state: PathState, nowMs: number): PathState {
  const { phase } = state
  const isBack = phase.kind === 'idle' && phase.isUnreached
  return {
    ...state,
    heardMs: nowMs,
    phase: isBack ? { kind: 'idle', isUnreached: false } : phase,
  }
}

/** Someone wants this peer: from idle everything starts at once. */
export function wanted(state: PathState, nowMs: number): PathState {
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
export function withTraffic(state: PathState, nowMs: number): PathState {
  const rested = isResting(state, nowMs) ? limitTrust(state, nowMs + TRUST_MS) : state
  return { ...rested, trafficMs: nowMs }
}

/** Shortens the trust in the pair in use, and checks it at once. */
export function limitTrust(state: PathState, untilMs: number): PathState {
  const pair = directPair(state)
  if (pair === undefined) return state
  const trustedUntilMs = Math.min(pair.trustedUntilMs, untilMs)
  return checkNow({ ...state, pairs: replacePair(state.pairs, { ...pair, trustedUntilMs }) })
}

/** There is a sign that the path in use broke: it has some round trips to prove itself, also where two checks are lost. */
export function doubted(state: PathState, nowMs: number): PathState {
  const roundTripMs = directPair(state)?.roundTripMs ?? 0
  return limitTrust(state, nowMs + Math.max(SUSPECT_TRUST_MS, 4 * roundTripMs))
}

export function checkNow(state: PathState): PathState {
  const pair = directPair(state)
  if (pair === undefined) return state
  const dueMs = pair.sentMs + TRIGGER_SPACING_MS
  return { ...state, pairs: replacePair(state.pairs, { ...pair, dueMs }) }
}

/** A triggered check follows (RFC 8445 §7.3.1.4). */
export function checkReceived(state: PathState, endpoint: Endpoint, nowMs: number): PathState {
  const pairs = withPeerReflexive(state.pairs, endpoint, nowMs)
  const pair = pairAt(pairs, endpoint)
  if (pair === undefined || isBlocked(state, pair, nowMs)) return heard(state, nowMs)
  const isFresh = pair.trustedUntilMs > nowMs || pair.sentMs + TRIGGER_SPACING_MS > nowMs
  const dueMs = isFresh ? pair.dueMs : nowMs
  return heard({ ...state, pairs: replacePair(pairs, { ...pair, dueMs }) }, nowMs)
}

/** Something passed by the relay although the direct path is in use: WireGuard moved, or the peer
 *  lost the path. The next answered check tells which. */
export function suspected(state: PathState, nowMs: number): PathState {
  if (state.told === undefined) return state
  const roamed = { ...state, hasRoamed: true }
  // Of two that both suspect, each sends by the relay, too, and so keeps the other suspecting.
  const isCleared = (directPair(state)?.answeredMs ?? -Infinity) > state.suspectedMs
  const spacingMs = isCleared ? SUSPECT_CLEARED_MS : SUSPECT_SPACING_MS
  if (nowMs - state.suspectedMs < spacingMs) return roamed
  return doubted({ ...roamed, suspectedMs: nowMs }, nowMs)
}
