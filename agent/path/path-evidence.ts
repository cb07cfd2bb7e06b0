/** Path evidence: what the path machine and the check record know of the ways to one peer. Pure. */
import type { Endpoint } from '../../protocol/address.ts'
import type {
  Evidence,
  PairEvidence,
  PathEvidence,
  RelayedEvidence,
} from '../../protocol/evidence.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import { EVIDENCE_PAIRS } from '../../protocol/limits.ts'
import type { CheckRecord } from './check-record.ts'
import { isBlocked, type PathState } from './path-state.ts'
import { statusOf } from './path-status.ts'

export interface PathFacts {
  readonly udp: Evidence['udp']
  readonly path: PathEvidence
  readonly pairs: readonly PairEvidence[]
  /** Without the names of relays, which the mesh knows. */
  readonly relay: Omit<RelayedEvidence, 'names'>
  readonly drops: Evidence['drops']
  /** Milliseconds for which a WireGuard session has been missing though there is a path. */
  readonly sessionMissingForMs: number | undefined
}

/** Of a peer that has no path, because it is no peer of the plan. */
export function noPathFacts(udp: Evidence['udp']): PathFacts {
  return {
    udp,
    path: {
      phase: 'unknown',
      sinceAgoMs: 0,
      heardAgoMs: undefined,
      endpoint: undefined,
      roundTripUs: undefined,
    },
    pairs: [],
    relay: {
      available: false,
      sent: 0,
      answered: 0,
      received: 0,
      roundTripUs: undefined,
      answeredAgoMs: undefined,
    },
    drops: [],
    sessionMissingForMs: undefined,
  }
}

/** All ages at `nowMs`, on the clock of `state`. */
export function pathFacts(
  device: DeviceId,
  state: PathState,
  record: CheckRecord,
  nowMs: number,
): PathFacts {
  const status = statusOf(state, nowMs)
  const ago = (momentMs: number): number | undefined => ageMs(momentMs, nowMs)
  const relayed = record.countsOf(device, 'relay')
  return {
    udp: record.udp(nowMs),
    path: {
      phase: state.phase.kind === 'idle' ? 'idle' : status.kind,
      sinceAgoMs: ago(state.phaseSinceMs) ?? 0,
      heardAgoMs: ago(state.heardMs),
      endpoint: status.kind === 'direct' ? status.endpoint : undefined,
      roundTripUs: 'roundTripMs' in status ? microseconds(status.roundTripMs) : undefined,
    },
    pairs: state.pairs.slice(0, EVIDENCE_PAIRS).map((pair) => ({
      kind: pair.kind,
      ...pairCounts(device, pair.endpoint, record, nowMs),
      blockedForMs: isBlocked(state, pair, nowMs)
        ? Math.ceil(pair.blockedUntilMs - nowMs)
        : undefined,
    })),
    relay: {
      available: state.relay.available,
      sent: relayed.sent,
      answered: relayed.answered,
      received: relayed.received,
      roundTripUs: microseconds(state.relay.roundTripMs),
      answeredAgoMs: ago(relayed.answeredMs),
    },
    drops: record.dropsFrom(state.pairs.map(({ endpoint }) => endpoint)),
    sessionMissingForMs: ago(state.session.neededMs),
  }
}

function pairCounts(
  device: DeviceId,
  endpoint: Endpoint,
  record: CheckRecord,
  nowMs: number,
): Omit<PairEvidence, 'kind' | 'blockedForMs'> {
  const counts = record.countsOf(device, endpoint)
  return {
    address: endpoint.address,
    port: endpoint.port,
    sent: counts.sent,
    answered: counts.answered,
    received: counts.received,
    roundTripUs: microseconds(counts.roundTripMs),
    sentAgoMs: ageMs(counts.sentMs, nowMs),
    answeredAgoMs: ageMs(counts.answeredMs, nowMs),
    receivedAgoMs: ageMs(counts.receivedMs, nowMs),
  }
}

/** Undefined for a moment that is not there. */
function ageMs(momentMs: number, nowMs: number): number | undefined {
  return Number.isFinite(momentMs) ? Math.max(0, Math.round(nowMs - momentMs)) : undefined
}

function microseconds(ms: number | undefined): number | undefined {
  return ms !== undefined && Number.isFinite(ms) ? Math.max(0, Math.round(ms * 1000)) : undefined
}
