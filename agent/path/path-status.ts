/** A path as those outside see it: what it is, and where a datagram goes by it. */
import type { Endpoint } from '../../protocol/address.ts'
import { directPair, isBlocked, isDoubted, type PathState } from './path-state.ts'
import { OFFLINE_AFTER_MS } from './timing.ts'

/** As the tunnel's owner, people and logs see it. */
export type PathStatus =
  | { readonly kind: 'direct'; readonly endpoint: Endpoint; readonly roundTripMs: number }
  | { readonly kind: 'relay'; readonly roundTripMs?: number; readonly blocked?: BlockedPath }
  | { readonly kind: 'connecting' }
  /** Nobody asks for the peer: its first packet wakes the path. */
  | { readonly kind: 'idle' }
  | { readonly kind: 'offline' }

export function statusOf(state: PathState, nowMs: number): PathStatus {
  const pair = directPair(state)
  if (pair !== undefined) {
    return { kind: 'direct', endpoint: pair.endpoint, roundTripMs: pair.roundTripMs }
  }
  const { relay, phase } = state
  if (phase.kind === 'relayed') {
    const blocked = blockedPath(state, nowMs)
    return { kind: 'relay', roundTripMs: relay.roundTripMs, ...(blocked && { blocked }) }
  }
  if (phase.kind === 'idle') return { kind: phase.isUnreached ? 'offline' : 'idle' }
  return { kind: nowMs - state.phaseSinceMs < OFFLINE_AFTER_MS ? 'connecting' : 'offline' }
}

/** A direct path whose checks pass, and that does not carry WireGuard. */
export interface BlockedPath {
  readonly endpoint: Endpoint
  /** Until it is tried again. */
  readonly forMs: number
}

/** The one that is tried again first; undefined: there is none. */
function blockedPath(state: PathState, nowMs: number): BlockedPath | undefined {
  const [pair] = state.pairs
    .filter((one) => isBlocked(state, one, nowMs))
    .toSorted((a, b) => a.blockedUntilMs - b.blockedUntilMs)
  return pair && { endpoint: pair.endpoint, forMs: pair.blockedUntilMs - nowMs }
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
