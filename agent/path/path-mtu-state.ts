/** What an agent knows of how large a packet its path to one peer carries. Sizes are bytes of packets inside
 *  the tunnel; moments are milliseconds of one monotonic clock, -Infinity is never, Infinity not planned. */
import type { Endpoint } from '../../protocol/address.ts'
import { usualMtu } from '../tunnel/mtu.ts'
import { toldMtu } from './path-mtu-search.ts'

/** CONFIRMATION_TIMER, milliseconds, while large packets pass; each costs two processes that ask the kernel. A black hole
 *  shows sooner, by what is not answered. */
export const CONFIRM_MS = 60_000
/** PMTU_RAISE_TIMER, milliseconds (RFC 8899 §5.1.1); as long as the kernel remembers what routers said. */
export const RAISE_MS = 600_000
/** PROBE_TIMER, milliseconds: three round trips within these bounds. A later answer still counts. */
const PROBE_MS = 200
const MOST_PROBE_MS = 1500
/** The same while nothing at all is answered, doubling: the path broke, and is about to be left. */
const DEAD_MS = 1000
const MOST_DEAD_MS = 16_000
/** A hint is taken up so long after the size in use was last confirmed, milliseconds. */
const HINT_SPACING_MS = 1000

/** What is known of one path. */
export interface PathFinding {
  readonly endpoint: Endpoint
  /** MAX_PLPMTU: the interface's MTU, or less where the kernel would cut larger packets in two. */
  readonly maxPlpmtu: number
  /** The largest size that was answered; 0: none yet. */
  readonly confirmed: number
  /** The smallest size that failed; Infinity: none. */
  readonly failed: number
  /** PLPMTU was last answered, or the path was new. */
  readonly confirmedMs: number
  /** The search last ended. */
  readonly searchedMs: number
}

export interface Probe {
  readonly size: number
  /** PROBE_COUNT; 0 while the path is given time to come back. */
  readonly count: number
  readonly sentMs: number
  /** A check without padding was answered since the first one. */
  readonly isAlive: boolean
  /** Times that MAX_PROBES were sent and nothing at all was answered. */
  readonly deadRounds: number
}

/** WireGuard's counters of the peer at the last look. */
export interface Counters {
  readonly sent: number
  readonly received: number
  /** What was sent when something was last received. */
  readonly sentBefore: number
  /** Since when more was sent than an answer could be missing to; Infinity: it was not. */
  readonly unansweredMs: number
}

export interface PathMtuState {
  /** The interface's MTU. */
  readonly most: number
  readonly phase: 'disabled' | 'searching' | 'confirming' | 'complete'
  /** The one in use; undefined: packets go by a relay, or nowhere. */
  readonly path: PathFinding | undefined
  readonly roundTripMs: number
  readonly probe: Probe | undefined
  /** The kernel is being asked what it knows. */
  readonly isLooking: boolean
  /** Something happened at that moment that makes the size in use doubtful. */
  readonly hintMs: number
  /** The search begins anew once the size in use is confirmed. */
  readonly isRaiseDue: boolean
  /** Packets of users last passed. */
  readonly trafficMs: number
  /** It was last noticed that nothing is answered. */
  readonly stuckMs: number
  readonly counters: Counters | undefined
  readonly remembered: readonly PathFinding[]
  /** PLPMTU, as told: how large packets to the peer may be now. Falls at once, rises when a search ends. */
  readonly mtu: number
}

/** @param most the interface's MTU */
export function initialPathMtu(most: number): PathMtuState {
  return {
    most,
    phase: 'disabled',
    path: undefined,
    roundTripMs: 0,
    probe: undefined,
    isLooking: false,
    hintMs: Infinity,
    isRaiseDue: false,
    trafficMs: -Infinity,
    stuckMs: -Infinity,
    counters: undefined,
    remembered: [],
    mtu: usualMtu(most),
  }
}

/** When the machine acts by itself; Infinity: never. */
export function pathMtuDueMs(state: PathMtuState): number {
  const { path, probe } = state
  if (path === undefined || state.isLooking) return Infinity
  if (probe !== undefined) return probe.sentMs + patienceMs(state, probe)
  if (state.phase !== 'complete') return path.confirmedMs
  const hintMs = Math.max(state.hintMs, path.confirmedMs + HINT_SPACING_MS)
  // Where nothing passes nothing is probed.
  if (state.trafficMs <= path.confirmedMs) return hintMs
  const confirmMs = path.confirmed === 0 ? Infinity : path.confirmedMs + CONFIRM_MS
  return Math.min(hintMs, confirmMs, raiseDueMs(state))
}

/** PMTU_RAISE_TIMER; Infinity where there is nothing larger. */
export function raiseDueMs({ path, most }: PathMtuState): number {
  if (path === undefined || toldMtu(path, most) >= most) return Infinity
  return path.searchedMs + RAISE_MS
}

function patienceMs({ roundTripMs }: PathMtuState, { count, deadRounds }: Probe): number {
  if (count === 0) return Math.min(DEAD_MS * 2 ** deadRounds, MOST_DEAD_MS)
  return Math.min(Math.max(PROBE_MS, 3 * roundTripMs), MOST_PROBE_MS)
}
