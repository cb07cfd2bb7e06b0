/** What an agent knows of its paths to one peer, and what follows from it at a moment. */
import type { Endpoint } from '../../protocol/address.ts'
import type { Candidate } from '../../protocol/endpoint-update.ts'
import { type CandidatePair, pairAt, unplanned, withCandidates } from './pairs.ts'
import {
  CHECKS_PER_SECOND,
  HEARTBEAT_MS,
  HEARTBEAT_RETRY_MS,
  HOLD_MS,
  ONLINE_MS,
  REKEY_LATE_MS,
  RELAY_HEARTBEAT_MS,
  RELAY_RETRY_MS,
  RESTING_AFTER_MS,
  RESTING_HEARTBEAT_MS,
  SESSION_MS,
  SUSPECT_PATIENCE,
  SUSPECT_RETRY_MS,
  TRUST_MS,
  WARM_RELAY_HEARTBEAT_MS,
} from './timing.ts'

export type PathPhase =
  /** `isUnreached`: when it was last sought no path led to it, and it has not been heard of since. */
  | { readonly kind: 'idle'; readonly isUnreached: boolean }
  | { readonly kind: 'connecting' }
  | { readonly kind: 'relayed' }
  /** The pair of that endpoint has the round-trip time and the moment it is trusted until. */
  | { readonly kind: 'direct'; readonly endpoint: Endpoint }

/** The path through a relay, checked like any other. */
export interface RelayPath {
  /** There is a relay for our datagrams to this peer. Says nothing about the peer. */
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
  readonly proof: DataProof
}

/** Whether what WireGuard sends by the endpoint it was told arrives, by what the peer says it has received. */
export interface DataProof {
  /** The peer's count in its last answer; undefined: not told yet. */
  readonly received: number | undefined
  /** Has a look at WireGuard shown what it had sent before the peer told this count? */
  readonly isCounting: boolean
  /** Looks that saw WireGuard send, since then. */
  readonly sends: number
  /** Those of them that saw so few bytes that no packet can have been too large for the path. */
  readonly smalls: number
  /** The first of them; Infinity: none. */
  readonly sinceMs: number
  /** The first answer after that with the same count, a while later; Infinity: none. */
  readonly staleMs: number
  /** Had the last answer the count of the one before it? */
  readonly isStale: boolean
}

export const NO_PROOF: DataProof = {
  received: undefined,
  isCounting: false,
  sends: 0,
  smalls: 0,
  sinceMs: Infinity,
  staleMs: Infinity,
  isStale: false,
}

/** A peer of a large organization: nothing is due before its first packet. */
export function idleState(
  initiates: boolean,
  candidates: readonly Candidate[],
  nowMs: number,
): PathState {
  const eager = initialState(initiates, candidates, nowMs)
  return {
    ...eager,
    phase: { kind: 'idle', isUnreached: false },
    pairs: unplanned(eager.pairs),
    round: { ...eager.round, nextMs: Infinity },
    relay: { ...eager.relay, dueMs: Infinity },
    trafficMs: -Infinity,
    punch: { ...eager.punch, dueMs: Infinity },
  }
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
    proof: NO_PROOF,
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

/** Is the pair left alone, for it does not carry WireGuard? Without a relay it may be tried all the same. */
export function isBlocked({ relay }: PathState, pair: CandidatePair, nowMs: number): boolean {
  return pair.blockedUntilMs > nowMs && relay.available
}

/** Should WireGuard have made a new handshake by now? */
export function isRekeyLate({ session }: PathState, nowMs: number): boolean {
  return session.upMs + REKEY_LATE_MS <= nowMs
}

export function isResting({ trafficMs }: PathState, nowMs: number): boolean {
  return trafficMs + RESTING_AFTER_MS <= nowMs
}

/** Is a peer that nobody asks for sought all the same? One that no path leads to, and no relay could wake. */
export function isSoughtIdle({ phase, relay }: PathState): boolean {
  return phase.kind === 'idle' && phase.isUnreached && !relay.available
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
  return pair.unansweredMs + doubtMs(pair)
}

/** Should the last check have been answered by now? */
export function isOverdue(pair: CandidatePair, nowMs: number): boolean {
  return pair.unansweredMs > pair.answeredMs && pair.unansweredMs + doubtMs(pair) <= nowMs
}

/** By when a check of a doubted pair should have been answered. */
function doubtMs({ roundTripMs }: CandidatePair): number {
  return Math.max(SUSPECT_RETRY_MS, SUSPECT_PATIENCE * roundTripMs)
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
  if (!isAnswered && isDoubted(pair)) return pair.sentMs + doubtMs(pair)
  const dueMs = heartbeatDueMs(pair, interval, HEARTBEAT_RETRY_MS)
  return isAnswered ? Math.min(dueMs, lastMs) : dueMs
}

/** Infinity where rounds, not heartbeats, check the relay. */
export function relayHeartbeatMs(state: PathState): number {
  if (!state.relay.available || state.relay.sentMs === -Infinity) return Infinity
  if (state.phase.kind === 'relayed') {
    return heartbeatDueMs(state.relay, RELAY_HEARTBEAT_MS, RELAY_RETRY_MS)
  }
  if (state.phase.kind !== 'direct') return Infinity
  // Its trust of when it was in use is shorter.
  const { sentMs, answeredMs, trustedUntilMs } = state.relay
  const lastMs = sentMs <= answeredMs ? trustedUntilMs - RELAY_HEARTBEAT_MS : Infinity
  const dueMs = heartbeatDueMs(state.relay, WARM_RELAY_HEARTBEAT_MS, WARM_RELAY_HEARTBEAT_MS)
  return Math.min(dueMs, lastMs)
}
