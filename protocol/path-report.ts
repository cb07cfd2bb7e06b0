/** Path report: how a device reaches a peer that it is in touch with, as its endpoint update tells people (SPEC §6.4).
 *  Nobody's paths depend on it. */
import { fromHex, toHex } from '../crypto/bytes.ts'
import { type Claims, integer, list } from './claims.ts'
import type { CborValue } from './codec.ts'
import { MalformedError } from './errors.ts'
import { LONGEST_ROUND_TRIP_MS, PATH_REPORT_POSITIONS, PATH_REPORTS } from './limits.ts'
import { RELAY_ADDRESS_BYTES, type RelayAddress } from './relay.ts'

/** Order is the wire's, never reused. */
export const PATH_KINDS = ['unknown', 'direct', 'relayed'] as const
export type PathKind = (typeof PATH_KINDS)[number]

export interface PathReport {
  readonly peer: RelayAddress
  readonly kind: PathKind
  /** Whole, at least 1; undefined: not measured. */
  readonly roundTripMs?: number
  /** Of a relayed path, where it is known. */
  readonly relay?: 'registry' | RelayAddress
}

/** `[peer, kind, round trip]`, and `relay` behind it where it is known. */
export function encodePathReport({ peer, kind, roundTripMs = 0, relay }: PathReport): CborValue {
  const measured = Math.ceil(Math.min(Math.max(0, roundTripMs), LONGEST_ROUND_TRIP_MS))
  const said = [fromHex(peer), PATH_KINDS.indexOf(kind), measured]
  return relay === undefined ? said : [...said, relay === 'registry' ? NOBODY : fromHex(relay)]
}

/** In place of a device's address: a registry, whichever. */
const NOBODY = new Uint8Array(0)

/** At most one report a peer. A kind of a later version reads as `unknown`, and what it adds at the end is ignored.
 *  Throws MalformedError. */
export function parsePathReports(
  claims: Claims,
  field: { readonly key: number; readonly name: string },
): readonly PathReport[] {
  const reports = list(claims, field, PATH_REPORTS, (item) => parsePathReport(claims.what, item))
  if (new Set(reports.map(({ peer }) => peer)).size === reports.length) return reports
  throw new MalformedError(`${claims.what}: ${field.name} report a peer twice`)
}

function parsePathReport(about: string, item: CborValue): PathReport {
  const what = `${about}: path report`
  if (!Array.isArray(item) || item.length < 3 || item.length > PATH_REPORT_POSITIONS) {
    throw new MalformedError(`${what}: want a list of 3 to ${PATH_REPORT_POSITIONS} items`)
  }
  const items: Claims = { what, map: new Map(item.entries()) }
  const kind = integer(items, { key: 1, name: 'kind' }, 0, 255)
  const measured = integer(items, { key: 2, name: 'round trip' }, 0, LONGEST_ROUND_TRIP_MS)
  const relay = item.length > 3 ? parseRelay(what, item[3]) : undefined
  return {
    peer: parseAddress(`${what}: peer`, item[0]),
    kind: PATH_KINDS[kind] ?? 'unknown',
    ...(measured > 0 && { roundTripMs: measured }),
    ...(relay !== undefined && { relay }),
  }
}

function parseRelay(what: string, item: CborValue | undefined): PathReport['relay'] {
  if (item instanceof Uint8Array && item.length === 0) return 'registry'
  return parseAddress(`${what}: relay`, item)
}

function parseAddress(what: string, item: CborValue | undefined): RelayAddress {
  if (item instanceof Uint8Array && item.length === RELAY_ADDRESS_BYTES) return toHex(item)
  throw new MalformedError(`${what} must be ${RELAY_ADDRESS_BYTES} bytes`)
}
