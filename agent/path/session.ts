/** When WireGuard is woken to start its handshake, and when it is put to rest. */
import type { PathAction, Step } from './machine.ts'
import {
  directPair,
  holdMs,
  isOnline,
  isSessionUp,
  type PathState,
  type Session,
} from './path-state.ts'
import {
  COOKIE_MS,
  FIRST_STALLED_MS,
  REKEY_TIMEOUT_MS,
  STALLED_MS,
  WAKE_LIMIT_MS,
  WAKE_PATIENCE_MS,
} from './timing.ts'

/** The lower device key wakes its WireGuard as soon as there is a path; the other waits for it, and
 *  wakes its own when nothing came: the peer may believe in a session that this side has lost. */
export function settleSession(state: PathState, nowMs: number): Step {
  const neededMs = isNeeded(state, nowMs) ? Math.min(state.session.neededMs, nowMs) : Infinity
  const needing: PathState = { ...state, session: { ...state.session, neededMs } }
  if (restDueMs(needing, nowMs) <= nowMs) {
    return changed(needing, { isAwake: false }, [
      { kind: 'rest', restart: !isSessionUp(state, nowMs) },
    ])
  }
  if (wakeDueMs(needing, nowMs) <= nowMs) {
    return changed(needing, { isAwake: true, wokenMs: nowMs, readyMs: Infinity }, [
      { kind: 'wake' },
    ])
  }
  if (restartDueMs(needing, nowMs) <= nowMs) {
    return changed(needing, { isAwake: true, restartedMs: nowMs }, [{ kind: 'restart-peer' }])
  }
  return { state: needing, actions: [] }
}

function changed(
  state: PathState,
  session: Partial<Session>,
  actions: readonly PathAction[],
): Step {
  return { state: { ...state, session: { ...state.session, ...session } }, actions }
}

/** A relay that says that it does not reach the peer leaves the need as old as it is: one that says so, and then may
 *  reach it for all that is known, would wake WireGuard each time. */
function isNeeded(state: PathState, nowMs: number): boolean {
  const { phase, relay, session, initiates, pairs } = state
  if (isSessionUp(state, nowMs) || phase.kind === 'idle') return false
  // The very first initiation goes beside the checks, to where the peer said it is (ways.ts).
  if (initiates && session.wokenMs === -Infinity && pairs.length > 0) return true
  return phase.kind === 'direct' || relay.available || session.neededMs < Infinity
}

function wakeDueMs(state: PathState, nowMs: number): number {
  const { session, initiates } = state
  if (session.neededMs === Infinity) return Infinity
  // An initiation under way is repeated by the agent (handshake.ts).
  const freeMs = session.initiatedMs + REKEY_TIMEOUT_MS
  const online = isOnline(state, nowMs)
  if (session.wokenMs < session.neededMs) {
    // The first time the initiator does not wait to hear of the peer: that would cost a round trip.
    if (initiates) return Math.max(freeMs, session.neededMs)
    return online ? Math.max(freeMs, session.neededMs + holdMs(state)) : Infinity
  }
  if (!online) return Infinity
  // The other side tries again at the same time: it is to be first again.
  const laterMs = initiates ? 0 : holdMs(state)
  return Math.max(freeMs, session.wokenMs + REKEY_TIMEOUT_MS) + laterMs
}

/** WireGuard was woken, and no initiation came; or one went out, and nothing follows from it. */
function restartDueMs(state: PathState, nowMs: number): number {
  if (state.session.neededMs === Infinity || isSessionUp(state, nowMs)) return Infinity
  return Math.min(silentDueMs(state, nowMs), stalledDueMs(state, nowMs))
}

function silentDueMs({ session }: PathState, nowMs: number): number {
  const isInitiating = session.initiatedMs + REKEY_TIMEOUT_MS > nowMs
  if (!session.isAwake || isInitiating || session.restartedMs >= session.wokenMs) return Infinity
  return session.readyMs + WAKE_PATIENCE_MS
}

/** When both have initiated all the same, both handshakes are void, and repeating one is in vain: the side that
 *  initiates begins anew, long before WireGuard would; also where WireGuard began by itself, for a user's packet. Where
 *  that does not help, the peer may be under load: the next message must carry the cookie that it sent (whitepaper
 *  §5.4.7), which a restart forgets, so WireGuard's own, after REKEY_TIMEOUT, comes first. */
function stalledDueMs(state: PathState, nowMs: number): number {
  const { session, initiates, phase, phaseSinceMs } = state
  const { neededMs, wokenMs, readyMs, initiatedMs, restartedMs } = session
  const isInitiated = initiatedMs + REKEY_TIMEOUT_MS > neededMs
  const isHeard = isOnline(state, nowMs) && phase.kind !== 'connecting'
  if (!initiates || !isInitiated || !isHeard) return Infinity
  // A tunnel that is still being made does it later than it is asked.
  const doneMs = session.isAwake && readyMs < Infinity ? readyMs : wokenMs
  // What was sent before the path was proved may have arrived no sooner than that.
  const lastMs = Math.max(neededMs, doneMs, initiatedMs, restartedMs, phaseSinceMs)
  return lastMs + Math.max(patienceMs(state, lastMs), 3 * roundTripMs(state))
}

function patienceMs({ session }: PathState, lastMs: number): number {
  if (session.restartedMs < session.neededMs) return FIRST_STALLED_MS
  const isTried = lastMs - session.neededMs >= FIRST_STALLED_MS + STALLED_MS
  return isTried ? COOKIE_MS : STALLED_MS
}

function roundTripMs(state: PathState): number {
  const pair = directPair(state)
  const ms = pair?.roundTripMs ?? state.relay.roundTripMs
  return Number.isFinite(ms) ? ms : 0
}

function restDueMs(state: PathState, nowMs: number): number {
  const { session, phase } = state
  if (!session.isAwake) return Infinity
  if (phase.kind === 'idle') return -Infinity
  if (isSessionUp(state, nowMs)) return Infinity
  return Math.max(session.wokenMs, state.heardMs) + WAKE_LIMIT_MS
}

/** The next moment at which `settleSession` may act. */
export function sessionDueMs(state: PathState, nowMs: number): number {
  return Math.min(wakeDueMs(state, nowMs), restartDueMs(state, nowMs), restDueMs(state, nowMs))
}
