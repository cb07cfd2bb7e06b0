/** What an agent knows of its paths to one peer, and what follows from it at a moment. */
import type { Endpoint } from '../../protocol/address.ts'
import type { Candidate } from '../../protocol/endpoint-update.ts'
import { type CandidatePair, pairAt, withCandidates } from './pairs.ts'
import {
  CHECKS_PER_SECOND,
  HEARTBEAT_MS,
  HEARTBEAT_RETRY_MS,
  HOLD_MS,
  OFFLINE_AFTER_MS,
  ONLINE_MS,
  RELAY_HEARTBEAT_MS,
  RELAY_RETRY_MS,
  RESTING_AFTER_MS,
  RESTING_HEARTBEAT_MS,
  SESSION_MS,
  SUSPECT_RETRY_MS,
  TRUST_MS,
  WARM_RELAY_HEARTBEAT_MS,
} from './timing.ts'

export type PathPhase =
  | { readonly kind: 'idle' }
  | { readonly kind: 'connecting' }
  | { readonly kind: 'relayed' }
  /** The pair of that endpoint has the round-trip time and the moment it is trusted until. */
  | { readonly kind: 'direct'; readonly endpoint: Endpoint }

/** As the tunnel's owner, people and logs see it. `idle` shows as `relay` or `offline`. */
export type PathStatus =
  | { readonly kind: 'direct'; readonly endpoint: Endpoint; readonly roundTripMs: number }
  | { readonly kind: 'relay'; readonly roundTripMs?: number }
  | { readonly kind: 'connecting' }
  | { readonly kind: 'offline' }

/** The path through a relay, checked like any other. */
export interface RelayPath {
  /** A relay took our last datagram for this peer. Says nothing about the peer. */
  readonly available: boolean
  readonly sentMs: number
  readonly answeredMs: number
  readonly trustedUntilMs: number
  /** Infinity before the first answer. */
  readonly roundTripMs: number
  readonly dueMs: number
}

/** WireGuard's session with the peer, as far as it shows. */
export interface Session {
  /** Latest handshake; -Infinity: none. */
  readonly upMs: number
  /** Since when a session is missing though a path exists; Infinity: it is not. */
  readonly neededMs: number
  /** WireGuard was last woken; its keepalive is on while `isAwake`. */
  readonly wokenMs: number
  readonly isAwake: boolean
  /** The tunnel had done what waking takes; Infinity: not yet. */
  readonly readyMs: number
  /** WireGuard's last initiation seen at the loopback socket. */
  readonly initiatedMs: number
  readonly restartedMs: number
}

/** All moments are milliseconds of one monotonic clock; -Infinity is never, Infinity is not planned. */
export interface PathState {
  /** This side has the lower device key, and so starts WireGuard's handshakes. */
  readonly initiates: boolean
  readonly phase: PathPhase
  readonly phaseSinceMs: number
  /** No move from one working direct path to another before this. */
  readonly movableMs: number
  readonly pairs: readonly CandidatePair[]
  /** Checks of all pairs: the number of rounds since the last hint, the last one, the next one. */
  readonly round: { readonly index: number; readonly atMs: number; readonly nextMs: number }
  readonly relay: RelayPath
  readonly session: Session
  /** The endpoint WireGuard was last given; undefined: the agent's loopback socket. */
  readonly told: Endpoint | undefined
  readonly toldMs: number
  /** WireGuard may have moved from the endpoint it was told. */
  readonly hasRoamed: boolean
  /** `told` was proved again after WireGuard may have moved. */
  readonly isReassertDue: boolean
  readonly confirmMs: readonly number[]
  readonly suspectedMs: number
  /** Packets of users last passed. */
  readonly trafficMs: number
  /** The peer was last heard of: anything authenticated. */
  readonly heardMs: number
  readonly punch: { readonly dueMs: number; readonly sentMs: number }
  readonly budget: { readonly tokens: number; readonly atMs: number }
  /** WireGuard's counters of this peer at the last look. */
  readonly bytes: { readonly received: number; readonly sent: number } | undefined
  /** At the last look WireGuard had sent packets since the one before, and received nothing. */
  readonly isSilent: boolean
}

/** A peer just learned of: everything is due at once. */
export function initialState(
  initiates: boolean,
  candidates: readonly Candidate[],
  nowMs: number,
): PathState {
  return {
    initiates,
    phase: { kind: 'connecting' },
    phaseSinceMs: nowMs,
    movableMs: nowMs,
    pairs: withCandidates([], candidates, nowMs),
    round: { index: 0, atMs: -Infinity, nextMs: nowMs },
    relay: {
      available: false,
      sentMs: -Infinity,
      answeredMs: -Infinity,
      trustedUntilMs: -Infinity,
      roundTripMs: Infinity,
      dueMs: nowMs,
    },
    session: {
      upMs: -Infinity,
      neededMs: Infinity,
      wokenMs: -Infinity,
      isAwake: false,
      readyMs: Infinity,
      initiatedMs: -Infinity,
      restartedMs: -Infinity,
    },
    told: undefined,
    toldMs: -Infinity,
    hasRoamed: false,
    isReassertDue: false,
    confirmMs: [],
    suspectedMs: -Infinity,
    trafficMs: nowMs,
    heardMs: -Infinity,
    punch: { dueMs: nowMs, sentMs: -Infinity },
    budget: { tokens: CHECKS_PER_SECOND, atMs: nowMs },
    bytes: undefined,
    isSilent: false,
  }
}

/** The pair in use. */
export function directPair(state: PathState): CandidatePair | undefined {
  return state.phase.kind === 'direct' ? pairAt(state.pairs, state.phase.endpoint) : undefined
}

export function isSessionUp({ session }: PathState, nowMs: number): boolean {
  return session.upMs + SESSION_MS > nowMs
}

/** The relay carried a check there and back, lately. */
export function isRelayProved({ relay }: PathState, nowMs: number): boolean {
  return relay.available && relay.trustedUntilMs > nowMs
}

export function isResting({ trafficMs }: PathState, nowMs: number): boolean {
  return trafficMs + RESTING_AFTER_MS <= nowMs
}

export function isOnline({ heardMs }: PathState, nowMs: number): boolean {
  return heardMs + ONLINE_MS > nowMs
}

/** There was a sign that the path broke, and no answer since. */
export function isDoubted(pair: CandidatePair): boolean {
  // A millisecond less, for moments are fractions.
  return pair.trustedUntilMs - pair.answeredMs < TRUST_MS - 1
}

/** A doubted path in use whose last check should have been answered by now: the relay is used beside it. */
export function isFailing(state: PathState, nowMs: number): boolean {
  return failingMs(state) <= nowMs
}

/** Since when, or from when on; Infinity: not while nothing else happens. */
export function failingMs(state: PathState): number {
  const pair = directPair(state)
  if (pair === undefined || !isDoubted(pair) || pair.unansweredMs <= pair.answeredMs)
    return Infinity
  return pair.unansweredMs + Math.max(SUSPECT_RETRY_MS, 2 * pair.roundTripMs)
}

/** How long the side that does not initiate waits for the other one. */
export function holdMs({ relay }: PathState): number {
  return Math.max(HOLD_MS, Number.isFinite(relay.roundTripMs) ? 2 * relay.roundTripMs : 0)
}

/** When to check the path in use again: after its interval, and sooner where an answer is missing. */
export function heartbeatDueMs(
  path: Pick<CandidatePair, 'sentMs' | 'answeredMs' | 'roundTripMs'>,
  intervalMs: number,
  retryMs: number,
): number {
  if (path.sentMs <= path.answeredMs) return path.answeredMs + intervalMs
  const patience = Number.isFinite(path.roundTripMs) ? 2 * path.roundTripMs : 0
  return path.sentMs + Math.max(retryMs, patience)
}

/** Infinity unless direct. */
export function pairHeartbeatMs(state: PathState, nowMs: number): number {
  const pair = directPair(state)
  if (pair === undefined) return Infinity
  const interval = isResting(state, nowMs) ? RESTING_HEARTBEAT_MS : HEARTBEAT_MS
  // A path that has just come to rest has the shorter trust.
  const lastMs = pair.trustedUntilMs - (TRUST_MS - HEARTBEAT_MS)
  const isAnswered = pair.sentMs <= pair.answeredMs
  const dueMs = heartbeatDueMs(
    pair,
    interval,
    isDoubted(pair) ? SUSPECT_RETRY_MS : HEARTBEAT_RETRY_MS,
  )
  return isAnswered ? Math.min(dueMs, lastMs) : dueMs
}

/** Infinity where rounds, not heartbeats, check the relay. */
export function relayHeartbeatMs(state: PathState): number {
  if (!state.relay.available || state.relay.sentMs === -Infinity) return Infinity
  if (state.phase.kind === 'relayed') {
    return heartbeatDueMs(state.relay, RELAY_HEARTBEAT_MS, RELAY_RETRY_MS)
  }
  if (state.phase.kind !== 'direct') return Infinity
  return heartbeatDueMs(state.relay, WARM_RELAY_HEARTBEAT_MS, WARM_RELAY_HEARTBEAT_MS)
}

export function statusOf(state: PathState, nowMs: number): PathStatus {
  const pair = directPair(state)
  if (pair !== undefined) {
    return { kind: 'direct', endpoint: pair.endpoint, roundTripMs: pair.roundTripMs }
  }
  const { relay, phase } = state
  if (phase.kind === 'relayed') return { kind: 'relay', roundTripMs: relay.roundTripMs }
  if (phase.kind === 'idle') {
    return relay.available && Number.isFinite(relay.roundTripMs)
      ? { kind: 'relay', roundTripMs: relay.roundTripMs }
      : { kind: 'offline' }
  }
  return { kind: nowMs - state.phaseSinceMs < OFFLINE_AFTER_MS ? 'connecting' : 'offline' }
}

/** Where a datagram that WireGuard gave to the loopback socket goes. */
export type Route =
  | { readonly kind: 'direct'; readonly endpoint: Endpoint }
  | { readonly kind: 'relay' }
  /** Twice: WireGuard drops what it has had. */
  | { readonly kind: 'both'; readonly endpoint: Endpoint }
  | { readonly kind: 'none' }

/** The proved direct path, and the relay beside it where it is doubted; else the relay; else the direct
 *  path that was proved last, for want of anything better. */
export function routeOf(state: PathState): Route {
  const pair = directPair(state)
  if (pair !== undefined) {
    const kind = isDoubted(pair) && state.relay.available ? 'both' : 'direct'
    return { kind, endpoint: pair.endpoint }
  }
  if (state.relay.available) return { kind: 'relay' }
  return state.told === undefined ? { kind: 'none' } : { kind: 'direct', endpoint: state.told }
}
