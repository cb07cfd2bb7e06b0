/** What follows from a path's state at a moment: the phase, and everything that is due. */
import { type Endpoint, sameEndpoint } from '../../protocol/address.ts'
import { proofDueMs, settleProof } from './data-proof.ts'
import { again } from './hints.ts'
import type { PathAction, Step } from './machine.ts'
import { bestProved, type CandidatePair, isBetter, planned, rank, replacePair } from './pairs.ts'
import {
  directPair,
  failingMs,
  isBlocked,
  isDoubted,
  isFailing,
  isRekeyLate,
  isRelayProved,
  isResting,
  isSoughtIdle,
  NO_PROOF,
  type PathPhase,
  type PathState,
  pairHeartbeatMs,
  relayHeartbeatMs,
} from './path-state.ts'
import { sessionDueMs, settleSession } from './session.ts'
import {
  AGAIN_MS,
  BETTER_ROUND_MS,
  CHECKS_PER_SECOND,
  CONFIRM_AFTER_MS,
  FIRST_ROUND_MS,
  IDLE_AFTER_MS,
  IDLE_ROUND_MS,
  LAST_ROUND_MS,
  MOVE_SPACING_MS,
  OFFLINE_AFTER_MS,
  PUNCH_SPACING_MS,
  REKEY_LATE_MS,
  RELAY_TRUST_MS,
  TELL_SPACING_MS,
  TRIGGER_SPACING_MS,
} from './timing.ts'

/** Afterwards nothing is due at `nowMs` any more. */
export function settle(state: PathState, nowMs: number): Step {
  const proof = settleProof(state, nowMs)
  const actions: PathAction[] = [...proof.actions]
  const inPhase = settlePhase(proof.state, nowMs)
  if (state.phase.kind === 'direct' && isSearching(inPhase))
    actions.push({ kind: 'refresh-mapping' })
  const planned = settleRound(settleConfirm(inPhase, nowMs), nowMs)
  const checked = settleRelayCheck(settleChecks(planned, nowMs, actions), nowMs, actions)
  const punched = settlePunch(checked, nowMs, actions)
  const session = settleSession(punched, nowMs)
  const told = settleEndpoint(session.state, nowMs, actions)
  return { state: told, actions: [...actions, ...session.actions] }
}

function settlePhase(state: PathState, nowMs: number): PathState {
  const next = nextPhase(state, nowMs)
  if (next.kind === state.phase.kind && sameEndpoint(endpointOf(next), endpointOf(state.phase))) {
    return state
  }
  const entered: PathState = { ...state, phase: next, phaseSinceMs: nowMs }
  if (next.kind === 'idle') return entered
  if (next.kind === 'direct') {
    const movableMs = nowMs + MOVE_SPACING_MS
    // A move between two of them leaves the rounds alone: a second one may be due.
    return { ...entered, movableMs, ...(state.phase.kind !== 'direct' && again(state, nowMs)) }
  }
  return state.phase.kind === 'direct' ? withoutDirect(entered, nowMs) : entered
}

function isSearching({ phase }: PathState): boolean {
  return phase.kind === 'connecting' || phase.kind === 'relayed'
}

function endpointOf(phase: PathPhase): Endpoint | undefined {
  return phase.kind === 'direct' ? phase.endpoint : undefined
}

function nextPhase(state: PathState, nowMs: number): PathPhase {
  const { phase } = state
  if (phase.kind === 'idle') return phase
  if (isForgotten(state, nowMs)) return { kind: 'idle', isUnreached: phase.kind === 'connecting' }
  const current = directPair(state)
  const open = state.pairs.filter((pair) => !isBlocked(state, pair, nowMs))
  const sound = open.filter((pair) => !isDoubted(pair))
  const best = bestProved(sound, nowMs) ?? bestProved(open, nowMs)
  if (best !== undefined) {
    return current !== undefined && stays(state, current, best, nowMs)
      ? phase
      : { kind: 'direct', endpoint: best.endpoint }
  }
  return { kind: isRelayProved(state, nowMs) ? 'relayed' : 'connecting' }
}

/** Does the pair in use stay so beside the best one that is proved? */
function stays(
  state: PathState,
  current: CandidatePair,
  best: CandidatePair,
  nowMs: number,
): boolean {
  if (current.trustedUntilMs <= nowMs) return false
  if (isDoubted(current) && best.answeredMs > current.answeredMs) return false
  return !(isBetter(best, current) && nowMs >= state.movableMs)
}

/** Idle needs a relay where a direct path would be lost by it: the next packet must have a way. */
function isForgotten(state: PathState, nowMs: number): boolean {
  if (nowMs < forgottenMs(state)) return false
  return state.phase.kind !== 'direct' || isRelayProved(state, nowMs)
}

function forgottenMs({ trafficMs, phaseSinceMs, phase }: PathState): number {
  return Math.max(trafficMs, phase.kind === 'connecting' ? phaseSinceMs : -Infinity) + IDLE_AFTER_MS
}

/** The direct path is gone: search at once, tell the peer, and see whether the relay still works. */
function withoutDirect(state: PathState, nowMs: number): PathState {
  const trustedUntilMs = Math.min(state.relay.trustedUntilMs, nowMs + RELAY_TRUST_MS)
  return {
    ...state,
    round: { ...state.round, index: 0, nextMs: Math.max(nowMs, state.round.atMs + FIRST_ROUND_MS) },
    relay: { ...state.relay, trustedUntilMs, dueMs: nowMs },
    punch: { ...state.punch, dueMs: nowMs },
  }
}

function settleConfirm(state: PathState, nowMs: number): PathState {
  if (!state.confirmMs.some((momentMs) => momentMs <= nowMs)) return state
  const confirmMs = state.confirmMs.filter((momentMs) => momentMs > nowMs)
  const pair = directPair(state)
  if (pair === undefined) return { ...state, confirmMs: [] }
  return { ...state, confirmMs, pairs: replacePair(state.pairs, { ...pair, dueMs: nowMs }) }
}

/** Plans the checks of a round that is due, and the round after it. */
function settleRound(state: PathState, nowMs: number): PathState {
  if (state.round.nextMs > nowMs) return state
  const { index } = state.round
  const { kind } = state.phase
  const round = { index: index + 1, atMs: nowMs, nextMs: nowMs + roundDelayMs(state, nowMs) }
  // A peer that comes to life tells an idle one through the relay.
  if (kind === 'idle' && !isSoughtIdle(state)) return { ...state, round }
  const used = directPair(state)
  const isWanted = (pair: CandidatePair): boolean =>
    !isBlocked(state, pair, nowMs) && isRoundPair(pair, used, index)
  const pairs = planned(state.pairs, nowMs, isWanted)
  const punch = { ...state.punch, dueMs: Math.min(state.punch.dueMs, nowMs) }
  return {
    ...state,
    round,
    pairs,
    relay: kind === 'connecting' ? { ...state.relay, dueMs: nowMs } : state.relay,
    punch: isSearching(state) ? punch : state.punch,
  }
}

/** Beside a path in use only those are of interest that could be better, but all after a hint. */
function isRoundPair(pair: CandidatePair, used: CandidatePair | undefined, index: number): boolean {
  if (used === undefined) return true
  const isPreferred = rank(pair.endpoint) <= rank(used.endpoint)
  return pair !== used && (index <= 1 || isPreferred || isBetter(pair, used))
}

function roundDelayMs(state: PathState, nowMs: number): number {
  switch (state.phase.kind) {
    case 'idle':
      return IDLE_ROUND_MS
    case 'direct':
      if (state.round.index === 0) return AGAIN_MS
      return isResting(state, nowMs) ? IDLE_ROUND_MS : BETTER_ROUND_MS
    default:
      return Math.min(LAST_ROUND_MS, FIRST_ROUND_MS * 2 ** Math.min(state.round.index, 10))
  }
}

/** The path in use first, then by what is due longest; never more than the budget has. */
function settleChecks(state: PathState, nowMs: number, actions: PathAction[]): PathState {
  const used = directPair(state)
  const heartbeatMs = Math.min(pairHeartbeatMs(state, nowMs), proofDueMs(state))
  const due = state.pairs
    .map((pair) => ({
      pair,
      dueMs: pair === used ? Math.min(pair.dueMs, heartbeatMs) : pair.dueMs,
    }))
    .filter(({ pair, dueMs }) => Math.max(dueMs, pair.sentMs + TRIGGER_SPACING_MS) <= nowMs)
    .toSorted((a, b) => Number(b.pair === used) - Number(a.pair === used) || a.dueMs - b.dueMs)
  if (due.length === 0) return state
  const tokens = tokensAt(state, nowMs)
  const sent = due.slice(0, Math.floor(tokens))
  let { pairs } = state
  for (const { pair } of sent) {
    actions.push({ kind: 'send-check', endpoint: pair.endpoint })
    const unansweredMs = pair.unansweredMs > pair.answeredMs ? pair.unansweredMs : nowMs
    pairs = replacePair(pairs, { ...pair, sentMs: nowMs, unansweredMs, dueMs: Infinity })
  }
  return { ...state, pairs, budget: { tokens: tokens - sent.length, atMs: nowMs } }
}

function tokensAt({ budget }: PathState, nowMs: number): number {
  return Math.min(
    CHECKS_PER_SECOND,
    budget.tokens + ((nowMs - budget.atMs) * CHECKS_PER_SECOND) / 1000,
  )
}

function settleRelayCheck(state: PathState, nowMs: number, actions: PathAction[]): PathState {
  if (relayDueMs(state) > nowMs) return state
  actions.push({ kind: 'send-relay-check' })
  return { ...state, relay: { ...state.relay, sentMs: nowMs, dueMs: Infinity } }
}

function relayDueMs(state: PathState): number {
  const dueMs = Math.min(state.relay.dueMs, relayHeartbeatMs(state))
  return Math.max(dueMs, state.relay.sentMs + FIRST_ROUND_MS)
}

function settlePunch(state: PathState, nowMs: number, actions: PathAction[]): PathState {
  if (punchDueMs(state) > nowMs) return state
  actions.push({ kind: 'send-punch' })
  return { ...state, punch: { dueMs: Infinity, sentMs: nowMs } }
}

function punchDueMs({ punch }: PathState): number {
  return Math.max(punch.dueMs, punch.sentMs + PUNCH_SPACING_MS)
}

/** What WireGuard should be told, and tells it where that changed or was proved anew; never twice in a
 *  moment, whatever the paths do. */
function settleEndpoint(state: PathState, nowMs: number, actions: PathAction[]): PathState {
  if (!isTellingDue(state, nowMs)) return state
  if (nowMs - state.toldMs < TELL_SPACING_MS) return state
  const wanted = wantedEndpoint(state, nowMs)
  const isNew = !sameEndpoint(wanted, state.told)
  const told = {
    ...state,
    ...{ told: wanted, toldMs: nowMs, hasRoamed: false, isReassertDue: false },
    // What goes by the relay raises the peer's count, too, and proves nothing of the path.
    proof: isNew ? NO_PROOF : state.proof,
  }
  if (wanted === undefined) {
    actions.push({ kind: 'use-relay' })
    if (isNew && state.phase.kind === 'direct') actions.push({ kind: 'refresh-mapping' })
    return { ...told, confirmMs: [] }
  }
  actions.push({ kind: 'use-direct', endpoint: wanted, others: leftBehind(state, wanted, nowMs) })
  if (!isNew) return told
  return { ...told, confirmMs: CONFIRM_AFTER_MS.map((afterMs) => nowMs + afterMs) }
}

/** Of two sides that chose differently the one that initiates prevails. The first path of all leaves nothing behind. */
function leftBehind(state: PathState, wanted: Endpoint, nowMs: number): readonly Endpoint[] {
  if (!state.initiates || state.told === undefined) return []
  return state.pairs
    .filter(({ trustedUntilMs }) => trustedUntilMs > nowMs)
    .map(({ endpoint }) => endpoint)
    .filter((endpoint) => !sameEndpoint(endpoint, wanted))
}

function isTellingDue(state: PathState, nowMs: number): boolean {
  const wanted = wantedEndpoint(state, nowMs)
  return !sameEndpoint(wanted, state.told) || state.isReassertDue
}

/** Undefined: the loopback socket. With no path proved WireGuard keeps what it has. */
function wantedEndpoint(state: PathState, nowMs: number): Endpoint | undefined {
  if (isRekeyLate(state, nowMs) || state.phase.kind === 'idle') return undefined
  if (state.phase.kind === 'direct') {
    // Then the agent carries, on both paths, until an answer decides.
    return isFailing(state, nowMs) && isRelayProved(state, nowMs) ? undefined : state.phase.endpoint
  }
  return isRelayProved(state, nowMs) ? undefined : state.told
}

/** The next moment at which a `tick` does anything. After `settle` it is later than `nowMs`. */
export function nextTickMs(state: PathState, nowMs: number): number {
  const used = directPair(state)
  const isIdle = state.phase.kind === 'idle'
  const moments = [
    ...state.pairs.map((pair) => Math.max(pair.dueMs, pair.sentMs + TRIGGER_SPACING_MS)),
    pairHeartbeatMs(state, nowMs),
    proofDueMs(state),
    used?.trustedUntilMs ?? Infinity,
    state.phase.kind === 'relayed' ? state.relay.trustedUntilMs : Infinity,
    state.round.nextMs,
    relayDueMs(state),
    punchDueMs(state),
    isIdle ? Infinity : forgottenMs(state),
    state.phaseSinceMs + OFFLINE_AFTER_MS,
    state.told === undefined ? Infinity : state.session.upMs + REKEY_LATE_MS,
    isTellingDue(state, nowMs) ? state.toldMs + TELL_SPACING_MS : Infinity,
    ...state.confirmMs,
    failingMs(state),
    sessionDueMs(state, nowMs),
  ]
  const nextMs = Math.min(...moments.filter((momentMs) => momentMs > nowMs))
  const isStarved = tokensAt(state, nowMs) < 1
  return isStarved ? Math.min(nextMs, nowMs + 1000 / CHECKS_PER_SECOND) : nextMs
}
