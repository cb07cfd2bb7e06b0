/** Candidate pairs (RFC 8445 §6.1.2): the paths to one peer that could be, with their check history.
 *  The local half is always WireGuard's port, so a pair is named by its remote endpoint. */
import ipaddr from 'ipaddr.js'
import { type Endpoint, type IpAddress, sameEndpoint } from '../../protocol/address.ts'
import type { Candidate, CandidateKind } from '../../protocol/endpoint-update.ts'
import { CANDIDATES } from '../../protocol/limits.ts'
import { CHECK_PACING_MS, FASTER_RATIO, LATENCY_MARGIN_MS, LIKE_RATIO } from './timing.ts'

/** Endpoints learned from checks alone, per peer: a NAT that gives each check a new port makes many. */
const PEER_REFLEXIVE = 8
/** Round trips that two paths are compared by: a busy host delays one or two, and four heartbeats are 12 s. */
const RECENT_ROUND_TRIPS = 4

export interface CandidatePair {
  readonly endpoint: Endpoint
  readonly kind: CandidateKind | 'peer-reflexive'
  /** -Infinity: never. */
  readonly sentMs: number
  /** -Infinity: never. */
  readonly answeredMs: number
  /** When the first check since the last answer was sent; -Infinity: never. */
  readonly unansweredMs: number
  /** Proved until then; -Infinity: not proved. */
  readonly trustedUntilMs: number
  /** Smoothed; Infinity before the first answer. */
  readonly roundTripMs: number
  /** The last RECENT_ROUND_TRIPS measured, the newest first. */
  readonly recentMs: readonly number[]
  /** When to check it; Infinity: not planned. */
  readonly dueMs: number
  /** It lets WireGuard through as little as a wall, and is left alone until then; -Infinity: it is not. */
  readonly blockedUntilMs: number
  /** How often that was found since WireGuard last got through. */
  readonly blocks: number
}

export function newPair(
  endpoint: Endpoint,
  kind: CandidatePair['kind'],
  dueMs: number,
): CandidatePair {
  return {
    endpoint: { address: endpoint.address, port: endpoint.port },
    kind,
    sentMs: -Infinity,
    answeredMs: -Infinity,
    unansweredMs: -Infinity,
    trustedUntilMs: -Infinity,
    roundTripMs: Infinity,
    recentMs: [],
    dueMs,
    blockedUntilMs: -Infinity,
    blocks: 0,
  }
}

export function pairAt(
  pairs: readonly CandidatePair[],
  endpoint: Endpoint | undefined,
): CandidatePair | undefined {
  return endpoint && pairs.find((pair) => sameEndpoint(pair.endpoint, endpoint))
}

export function replacePair(
  pairs: readonly CandidatePair[],
  changed: CandidatePair,
): readonly CandidatePair[] {
  return pairs.map((pair) => (sameEndpoint(pair.endpoint, changed.endpoint) ? changed : pair))
}

/** The pairs of a peer's newest candidates. History stays; what is still trusted stays as
 *  peer-reflexive although the peer no longer lists it; new ones are due at once, paced. */
export function withCandidates(
  pairs: readonly CandidatePair[],
  candidates: readonly Candidate[],
  nowMs: number,
): readonly CandidatePair[] {
  const listed: CandidatePair[] = []
  let fresh = 0
  for (const candidate of candidates.slice(0, CANDIDATES)) {
    if (pairAt(listed, candidate) !== undefined) continue
    const known = pairAt(pairs, candidate)
    listed.push(
      known === undefined
        ? newPair(candidate, candidate.kind, nowMs + CHECK_PACING_MS * fresh++)
        : { ...known, kind: candidate.kind },
    )
  }
  const unlisted = pairs
    .filter((pair) => pairAt(listed, pair.endpoint) === undefined)
    .filter((pair) => pair.kind === 'peer-reflexive' || pair.trustedUntilMs > nowMs)
    .map((pair): CandidatePair => ({ ...pair, kind: 'peer-reflexive' }))
  return [...listed, ...newest(unlisted, PEER_REFLEXIVE, nowMs)]
}

/** With the source of a check as a candidate (RFC 8445 §7.3.1.3), in place of the oldest such one. */
export function withPeerReflexive(
  pairs: readonly CandidatePair[],
  endpoint: Endpoint,
  nowMs: number,
): readonly CandidatePair[] {
  if (pairAt(pairs, endpoint) !== undefined) return pairs
  const reflexive = pairs.filter(({ kind }) => kind === 'peer-reflexive')
  const kept = newest(reflexive, PEER_REFLEXIVE - 1, nowMs)
  return [
    ...pairs.filter((pair) => pair.kind !== 'peer-reflexive' || kept.includes(pair)),
    newPair(endpoint, 'peer-reflexive', nowMs),
  ]
}

/** With a check due for each pair that `isWanted`, the preferred ones first, paced. */
export function planned(
  pairs: readonly CandidatePair[],
  nowMs: number,
  isWanted: (pair: CandidatePair) => boolean,
): readonly CandidatePair[] {
  const ordered = pairs.filter(isWanted).toSorted((a, b) => rank(a.endpoint) - rank(b.endpoint))
  const due = new Map(ordered.map((pair, index) => [pair, nowMs + CHECK_PACING_MS * index]))
  return pairs.map((pair) => {
    const dueMs = due.get(pair)
    return dueMs === undefined ? pair : { ...pair, dueMs: Math.min(pair.dueMs, dueMs) }
  })
}

/** With no check due. */
export function unplanned(pairs: readonly CandidatePair[]): readonly CandidatePair[] {
  return pairs.map((pair) => ({ ...pair, dueMs: Infinity }))
}

/** Those proved first: whoever repeats old checks from many addresses must not push out the path in use. */
function newest(
  pairs: readonly CandidatePair[],
  count: number,
  nowMs: number,
): readonly CandidatePair[] {
  const isProved = ({ trustedUntilMs }: CandidatePair) => Number(trustedUntilMs > nowMs)
  return pairs
    .toSorted((a, b) => isProved(b) - isProved(a) || usedMs(b) - usedMs(a))
    .slice(0, count)
}

function usedMs({ answeredMs, sentMs }: CandidatePair): number {
  const latest = Math.max(answeredMs, sentMs)
  return latest === -Infinity ? Number.MAX_SAFE_INTEGER : latest
}

const PRIVATE_RANGES = ['private', 'uniqueLocal', 'linkLocal', 'loopback']

/** RFC 1918, unique local (RFC 4193), link-local or loopback. */
export function isPrivate(address: IpAddress): boolean {
  return PRIVATE_RANGES.includes(ipaddr.parse(address).range())
}

/** Lower is preferred: the same network, then IPv6 (no NAT on the way), then IPv4. */
export function rank({ address }: Endpoint): 0 | 1 | 2 {
  if (isPrivate(address)) return 0
  return address.includes(':') ? 1 : 2
}

/** Is it worth moving from `current`, which works, to `other`, which works too? Never true both ways, nor where nothing
 *  is known of `current`. */
export function isBetter(other: CandidatePair, current: CandidatePair): boolean {
  if (current.recentMs.length === 0) return false
  const [otherMs, currentMs] = [shortestMs(other), shortestMs(current)]
  if (rank(other.endpoint) < rank(current.endpoint)) {
    return otherMs <= currentMs * LIKE_RATIO + LATENCY_MARGIN_MS
  }
  return otherMs < currentMs * FASTER_RATIO - LATENCY_MARGIN_MS
}

/** What the path itself takes: a busy host or a queue only adds to that. Infinity before the first answer. */
function shortestMs({ recentMs }: CandidatePair): number {
  return Math.min(Infinity, ...recentMs)
}

/** Where the round trips of before say nothing any more. */
export function unmeasured(pair: CandidatePair): CandidatePair {
  return { ...pair, recentMs: [] }
}

/** With one more round trip measured. */
export function measured(pair: CandidatePair, roundTripMs: number): CandidatePair {
  return {
    ...pair,
    roundTripMs: smoothed(pair.roundTripMs, roundTripMs),
    recentMs: [roundTripMs, ...pair.recentMs].slice(0, RECENT_ROUND_TRIPS),
  }
}

/** A quarter of each new measurement, as RFC 6298 smooths with an eighth: ours are rarer. */
export function smoothed(knownMs: number, measuredMs: number): number {
  return Number.isFinite(knownMs) ? knownMs * 0.75 + measuredMs * 0.25 : measuredMs
}

/** The best of those proved at `nowMs`. */
export function bestProved(
  pairs: readonly CandidatePair[],
  nowMs: number,
): CandidatePair | undefined {
  return pairs
    .filter(({ trustedUntilMs }) => trustedUntilMs > nowMs)
    .reduce<CandidatePair | undefined>(
      (best, pair) => (best === undefined || isBetter(pair, best) ? pair : best),
      undefined,
    )
}
