/** Endpoint update: where a device says it may be reached (SPEC §6.1). */
import { addressBytes, addressFromBytes, type Endpoint } from './address.ts'
import { type Claims, integer, list, moment, text, texts } from './claims.ts'
import { type CborMap, type CborValue, encodeCbor } from './codec.ts'
import { MalformedError } from './errors.ts'
import {
  CANDIDATES,
  ENDPOINT_UPDATE_LIFETIME,
  ENVELOPE_BYTES,
  MULTIADDRS,
  PATH_REPORTS,
  TEXT_CHARACTERS,
} from './limits.ts'
import {
  encodeNatReport,
  NAT_MAPPINGS,
  type NatMapping,
  type NatReport,
  parseNatReports,
} from './nat-report.ts'
import { encodePathReport, type PathReport, parsePathReports } from './path-report.ts'
import { encodePolicyStatus, type PolicyStatus, parsePolicyStatus } from './policy-status.ts'
import type { Seconds } from './time.ts'

export type { NatMapping } from './nat-report.ts'

/** RFC 8445 §5.1.1; `port-mapped` by PCP, NAT-PMP or UPnP. Order is the wire's, never reused. */
export const CANDIDATE_KINDS = ['host', 'server-reflexive', 'port-mapped'] as const
export type CandidateKind = (typeof CANDIDATE_KINDS)[number]

export interface Candidate extends Endpoint {
  readonly kind: CandidateKind
}

export interface EndpointUpdate {
  /** Grows with every update of this device; the newest wins. Milliseconds since the epoch or more. */
  readonly sequence: number
  readonly issuedAt: Seconds
  readonly notAfter: Seconds
  /** For WireGuard. */
  readonly candidates: readonly Candidate[]
  /** For the mesh, as multiaddrs. */
  readonly multiaddrs: readonly string[]
  /** Over IPv4. */
  readonly natMapping: NatMapping
  /** What the device runs, for people: `nexd 0.1.0, linux`. */
  readonly system: string
  /** Of the families that something is known of; none: nothing is known, or an earlier version speaks. */
  readonly nat?: readonly NatReport[]
  /** Missing where the policy is of version 0. */
  readonly policy?: PolicyStatus
  /** To some of the peers that it is in touch with, for people. */
  readonly paths?: readonly PathReport[]
}

const NOT_AFTER = { key: 4, name: 'notAfter' }
const ISSUED_AT = { key: 6, name: 'issuedAt' }
const SEQUENCE = { key: -65537, name: 'sequence' }
const CANDIDATE = { key: -65538, name: 'candidates' }
const MULTIADDR = { key: -65539, name: 'multiaddrs' }
const MAPPING = { key: -65540, name: 'NAT mapping' }
const SYSTEM = { key: -65541, name: 'system' }
const NAT = { key: -65542, name: 'NAT reports' }
const POLICY = { key: -65543, name: 'policy status' }
const PATHS = { key: -65544, name: 'path reports' }

/** What an envelope adds to the claims, and the reports' claim to the reports: 190 bytes, and some. */
const FRAMING_BYTES = 224

export function encodeEndpointUpdate(update: EndpointUpdate): CborMap {
  return new Map<CborValue, CborValue>([
    [NOT_AFTER.key, update.notAfter],
    [ISSUED_AT.key, update.issuedAt],
    [SEQUENCE.key, update.sequence],
    [CANDIDATE.key, update.candidates.map(encodeCandidate)],
    [MULTIADDR.key, [...update.multiaddrs]],
    [MAPPING.key, NAT_MAPPINGS.indexOf(update.natMapping)],
    [SYSTEM.key, update.system],
    ...natClaim(update.nat ?? []),
    ...policyClaim(update.policy),
    ...pathClaim(update.paths ?? []),
  ])
}

function natClaim(reports: readonly NatReport[]): [CborValue, CborValue][] {
  return reports.length === 0 ? [] : [[NAT.key, reports.map(encodeNatReport)]]
}

function policyClaim(status: PolicyStatus | undefined): [CborValue, CborValue][] {
  return status === undefined ? [] : [[POLICY.key, encodePolicyStatus(status)]]
}

function pathClaim(reports: readonly PathReport[]): [CborValue, CborValue][] {
  return reports.length === 0 ? [] : [[PATHS.key, reports.map(encodePathReport)]]
}

/** The reports that there is room for in an envelope beside all else that the update says. */
export function fittingPaths(
  update: Omit<EndpointUpdate, 'paths'>,
  reports: readonly PathReport[],
): readonly PathReport[] {
  let room = ENVELOPE_BYTES - FRAMING_BYTES - encodeCbor(encodeEndpointUpdate(update)).length
  return reports.slice(0, PATH_REPORTS).filter((report) => {
    room -= encodeCbor(encodePathReport(report)).length
    return room >= 0
  })
}

/** Throws MalformedError. */
export function parseEndpointUpdate(claims: Claims): EndpointUpdate {
  const nat = parseNatReports(claims, NAT)
  const policy = parsePolicyStatus(claims, POLICY)
  const paths = parsePathReports(claims, PATHS)
  return {
    sequence: integer(claims, SEQUENCE, 1, 2 ** 48),
    ...validity(claims, ENDPOINT_UPDATE_LIFETIME),
    candidates: list(claims, CANDIDATE, CANDIDATES, parseCandidate),
    multiaddrs: texts(claims, MULTIADDR, MULTIADDRS, TEXT_CHARACTERS * 2),
    // A mapping of a later version is one this one knows nothing about.
    natMapping: NAT_MAPPINGS[integer(claims, MAPPING, 0, 255)] ?? 'unknown',
    system: text(claims, SYSTEM, TEXT_CHARACTERS),
    ...(nat.length === 0 ? {} : { nat }),
    ...(policy === undefined ? {} : { policy }),
    ...(paths.length === 0 ? {} : { paths }),
  }
}

/** `issuedAt` and `notAfter` of a device's statement, at most `longest` apart. */
export function validity(
  claims: Claims,
  longest: Seconds,
): { issuedAt: Seconds; notAfter: Seconds } {
  const issuedAt = moment(claims, ISSUED_AT)
  const notAfter = moment(claims, NOT_AFTER)
  if (notAfter <= issuedAt || notAfter - issuedAt > longest) {
    throw new MalformedError(`${claims.what}: lasts ${notAfter - issuedAt} s, want 1 to ${longest}`)
  }
  return { issuedAt, notAfter }
}

/** `[kind, address, port]`, also used by the punch message. */
export function encodeCandidate({ kind, address, port }: Candidate): CborValue {
  return [CANDIDATE_KINDS.indexOf(kind), addressBytes(address), port]
}

/** Throws MalformedError. A kind of a later version reads as `host`. */
export function parseCandidate(item: CborValue): Candidate {
  const [kind, address, port] = Array.isArray(item) && item.length === 3 ? item : []
  if (typeof kind !== 'number' || !(address instanceof Uint8Array) || typeof port !== 'number') {
    throw new MalformedError('candidate: want [kind, address, port]')
  }
  if (port < 1 || port > 65535)
    throw new MalformedError(`candidate: port is ${port}, want 1 to 65535`)
  return { kind: CANDIDATE_KINDS[kind] ?? 'host', address: addressFromBytes(address), port }
}
