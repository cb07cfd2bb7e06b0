/** Path MTU of one peer: how large its packets may be, found by probing, for a router that drops what is too
 *  large may say nothing (a black hole). Datagram Packetization Layer Path MTU Discovery, in the words of
 *  RFC 8899; the probes are padded connectivity checks (SPEC §10.7). Pure: no I/O, no clock.
 *
 *                 a direct path        nothing larger is left
 *    ┌──────────┐ ──────────► ┌───────────┐ ──────────► ┌──────────┐
 *    │ disabled │             │ searching │ ◄────────── │ complete │
 *    └──────────┘ ◄────────── └───────────┘   raise     └──────────┘
 *                  none left        ▲                     │      ▲
 *                        it failed: │               timer,│      │
 *                      a black hole └─ ┌────────────┐ ◄─── hint  │ answered
 *                                      │ confirming │ ───────────┘
 *                                      └────────────┘
 *
 *  Departures from RFC 8899: PROBE_TIMER follows the round-trip time instead of being a second at least; and
 *  a size fails only when a check without padding, sent beside its probes, was answered. */
import { type Endpoint, sameEndpoint } from '../../protocol/address.ts'
import { unreachable } from '../../protocol/errors.ts'
import { LEAST_MTU, nextSize, toldMtu } from './path-mtu-search.ts'
import {
  type Counters,
  type PathFinding,
  type PathMtuState,
  pathMtuDueMs,
  RAISE_MS,
  raiseDueMs,
} from './path-mtu-state.ts'

/** Probes of one size before it has failed. */
export const MAX_PROBES = 3
/** Endpoints of the peer whose finding is remembered. */
const REMEMBERED = 8
/** Bytes between two looks that tell of large packets. */
const TRAFFIC_BYTES = 1000
/** Bytes sent without any answer that are more than keepalives and handshakes. */
const STUCK_BYTES = 1000
/** Unanswered for so long, milliseconds; and no more often. */
const STUCK_MS = 1000
const STUCK_SPACING_MS = 5000

export type PathMtuInput =
  /** The direct path in use; undefined: there is none. `most` is the interface's MTU. */
  | {
      readonly kind: 'path'
      readonly endpoint: Endpoint | undefined
      readonly roundTripMs: number
      readonly most: number
    }
  /** What the kernel knows of the path: the answer to `look`, and given before every answer to a probe. */
  | { readonly kind: 'looked'; readonly maxPlpmtu: number }
  | { readonly kind: 'probe-answered'; readonly size: number; readonly roundTripMs: number }
  /** A check without padding was answered. */
  | { readonly kind: 'check-answered'; readonly roundTripMs: number }
  /** WireGuard's counters of the peer. */
  | { readonly kind: 'counters'; readonly sent: number; readonly received: number }
  | { readonly kind: 'network-changed' }
  | { readonly kind: 'tick' }

export type PathMtuAction =
  /** Ask the kernel; `looked` must follow. */
  | { readonly kind: 'look'; readonly endpoint: Endpoint }
  | { readonly kind: 'send-probe'; readonly endpoint: Endpoint; readonly size: number }
  | { readonly kind: 'send-check'; readonly endpoint: Endpoint }

export interface PathMtuStep {
  readonly state: PathMtuState
  readonly actions: readonly PathMtuAction[]
}

/** Total. `nowMs` must not go back from one call to the next. */
export function stepPathMtu(state: PathMtuState, input: PathMtuInput, nowMs: number): PathMtuStep {
  const { state: next, actions } =
    input.kind === 'looked'
      ? looked(state, input.maxPlpmtu, nowMs)
      : settle(absorb(state, input, nowMs), nowMs)
  return { state: told(next), actions }
}

function told(state: PathMtuState): PathMtuState {
  const mtu = toldMtu(state.path, state.most)
  return mtu < state.mtu || state.phase !== 'searching' ? { ...state, mtu } : state
}

type Absorbed = Exclude<PathMtuInput, { readonly kind: 'looked' }>

function absorb(state: PathMtuState, input: Absorbed, nowMs: number): PathMtuState {
  switch (input.kind) {
    case 'path':
      return onPath(state, input, nowMs)
    case 'probe-answered':
      return answered({ ...state, roundTripMs: input.roundTripMs }, input.size, nowMs)
    case 'check-answered':
      return {
        ...state,
        roundTripMs: input.roundTripMs,
        probe: state.probe && { ...state.probe, isAlive: true },
      }
    case 'counters':
      return counted(state, input.sent, input.received, nowMs)
    case 'network-changed':
      return { ...state, hintMs: nowMs, isRaiseDue: true, remembered: [] }
    case 'tick':
      return state
    default:
      return unreachable(input)
  }
}

function onPath(
  state: PathMtuState,
  { endpoint, roundTripMs, most }: PathMtuInput & { readonly kind: 'path' },
  nowMs: number,
): PathMtuState {
  const isSame = most === state.most && sameEndpoint(state.path?.endpoint, endpoint)
  if (isSame && endpoint !== undefined) return { ...state, roundTripMs }
  const known = most === state.most ? knownFindings(state) : []
  const idle: PathMtuState = {
    ...state,
    most,
    phase: 'disabled',
    path: undefined,
    roundTripMs,
    probe: undefined,
    isLooking: false,
    hintMs: Infinity,
    isRaiseDue: false,
    remembered: known
      .filter((one) => endpoint === undefined || !sameEndpoint(one.endpoint, endpoint))
      .slice(0, REMEMBERED),
  }
  if (endpoint === undefined) return idle
  const found = known.find((one) => sameEndpoint(one.endpoint, endpoint))
  const isKnown = found !== undefined && found.searchedMs + RAISE_MS > nowMs
  const path = isKnown ? { ...found, confirmedMs: nowMs } : newFinding(endpoint, most, nowMs)
  const phase = path.confirmed > 0 ? 'confirming' : 'searching'
  return { ...idle, phase, path, mtu: toldMtu(path, most) }
}

/** Of the path in use nothing is kept that a change of the network has made doubtful. */
function knownFindings({ path, isRaiseDue, remembered }: PathMtuState): readonly PathFinding[] {
  return path === undefined || isRaiseDue ? remembered : [path, ...remembered]
}

function newFinding(endpoint: Endpoint, most: number, nowMs: number): PathFinding {
  const moments = { confirmedMs: nowMs, searchedMs: nowMs }
  return { endpoint, maxPlpmtu: most, confirmed: 0, failed: Infinity, ...moments }
}

/** Also of a size that was given up, for its answer may be late. */
function answered(state: PathMtuState, size: number, nowMs: number): PathMtuState {
  const { path, probe } = state
  if (path === undefined || size > path.maxPlpmtu) return state
  const found: PathFinding = {
    ...path,
    confirmed: Math.max(path.confirmed, size),
    failed: size < path.failed ? path.failed : Infinity,
    confirmedMs: size >= toldMtu(path, state.most) ? nowMs : path.confirmedMs,
  }
  const isDone = probe !== undefined && size >= probe.size
  const next = { ...state, path: found, probe: isDone ? undefined : probe }
  if (state.phase === 'confirming' && isDone) {
    const isRaising = state.isRaiseDue || raiseDueMs(next) <= nowMs
    return isRaising ? raising(next) : { ...next, phase: 'complete' }
  }
  return found.confirmed > path.confirmed ? { ...next, phase: 'searching' } : next
}

function raising(state: PathMtuState): PathMtuState {
  const path = state.path && { ...state.path, failed: Infinity }
  return { ...state, path, phase: 'searching', isRaiseDue: false }
}

function counted(state: PathMtuState, sent: number, received: number, nowMs: number): PathMtuState {
  const last = state.counters
  // A peer that was made anew counts from 0.
  if (last === undefined || sent < last.sent || received < last.received) {
    return { ...state, counters: { sent, received, sentBefore: sent, unansweredMs: Infinity } }
  }
  const passed = Math.max(sent - last.sent, received - last.received)
  const counters: Counters =
    received > last.received
      ? { sent, received, sentBefore: sent, unansweredMs: Infinity }
      : {
          ...last,
          sent,
          unansweredMs:
            sent - last.sentBefore < STUCK_BYTES ? Infinity : Math.min(last.unansweredMs, nowMs),
        }
  const isStuck =
    counters.unansweredMs + STUCK_MS <= nowMs && state.stuckMs + STUCK_SPACING_MS <= nowMs
  return {
    ...state,
    counters,
    trafficMs: passed < TRAFFIC_BYTES ? state.trafficMs : nowMs,
    ...(isStuck ? { stuckMs: nowMs, hintMs: nowMs } : {}),
  }
}

/** What is due at this moment; before every probe the kernel is asked. */
function settle(state: PathMtuState, nowMs: number): PathMtuStep {
  const { path, probe, phase } = state
  if (path === undefined || pathMtuDueMs(state) > nowMs) return { state, actions: [] }
  if (probe !== undefined && probe.count >= MAX_PROBES) {
    if (probe.isAlive) return settle(failed(state, path, probe.size), nowMs)
    const dead = { ...probe, count: 0, sentMs: nowMs, deadRounds: probe.deadRounds + 1 }
    return { state: { ...state, probe: dead }, actions: [] }
  }
  if (probe === undefined && phase === 'searching' && nextSize(path, state.most) === undefined) {
    return { state: completed(state, path, nowMs), actions: [] }
  }
  if (probe !== undefined || phase !== 'complete') return look(state, path)
  const isRaising = raiseDueMs(state) <= nowMs && state.hintMs > nowMs
  if (isRaising) return look(raising(state), path)
  return look({ ...state, phase: 'confirming', hintMs: Infinity }, path)
}

function look(state: PathMtuState, { endpoint }: PathFinding): PathMtuStep {
  return { state: { ...state, isLooking: true }, actions: [{ kind: 'look', endpoint }] }
}

/** A size in use that fails is a black hole: nothing that was confirmed counts any more. */
function failed(state: PathMtuState, path: PathFinding, size: number): PathMtuState {
  const confirmed = state.phase === 'confirming' ? 0 : path.confirmed
  const found = { ...path, confirmed, failed: Math.min(path.failed, size) }
  return { ...state, path: found, phase: 'searching', probe: undefined }
}

function looked(state: PathMtuState, known: number, nowMs: number): PathMtuStep {
  if (state.path === undefined) return { state, actions: [] }
  const path = limited(state.path, Math.max(LEAST_MTU, Math.min(known, state.most)))
  const isCut = path.confirmed < state.path.confirmed
  // The kernel would cut a larger probe in two: its answer would prove nothing.
  const isProbeKept = state.probe !== undefined && state.probe.size <= path.maxPlpmtu
  const next: PathMtuState = {
    ...state,
    path,
    phase: isCut || (state.probe !== undefined && !isProbeKept) ? 'searching' : state.phase,
    probe: isProbeKept ? state.probe : undefined,
    isLooking: false,
  }
  return state.isLooking ? begin(next, path, nowMs) : { state: next, actions: [] }
}

function limited(path: PathFinding, maxPlpmtu: number): PathFinding {
  if (path.confirmed <= maxPlpmtu) return { ...path, maxPlpmtu }
  return { ...path, maxPlpmtu, confirmed: 0, failed: Infinity }
}

function completed(state: PathMtuState, path: PathFinding, nowMs: number): PathMtuState {
  return { ...state, path: { ...path, searchedMs: nowMs }, phase: 'complete' }
}

/** Sends the probe that is due; where none is left the search is complete. */
function begin(state: PathMtuState, path: PathFinding, nowMs: number): PathMtuStep {
  const isConfirming = state.phase === 'confirming'
  const size =
    state.probe?.size ?? (isConfirming ? toldMtu(path, state.most) : nextSize(path, state.most))
  if (size === undefined) return { state: completed(state, path, nowMs), actions: [] }
  const { count, isAlive, deadRounds } = state.probe ?? { count: 0, isAlive: false, deadRounds: 0 }
  const probe = { size, count: count + 1, sentMs: nowMs, isAlive, deadRounds }
  const { endpoint } = path
  return {
    state: { ...state, probe },
    actions: [
      { kind: 'send-probe', endpoint, size },
      // The first is mostly answered; later ones need something to compare with.
      ...(count === 0 && deadRounds === 0 ? [] : [{ kind: 'send-check', endpoint } as const]),
    ],
  }
}
