/** NAT report: what a device knows of the NATs and firewalls before it, for one address family, in the words
 *  of RFC 4787 (SPEC §6.3). Positions and enumerations are the wire's: they only grow. */
import type { AddressFamily } from './address.ts'
import { type Claims, list } from './claims.ts'
import type { CborValue } from './codec.ts'
import { MalformedError } from './errors.ts'
import { LONGEST_NAT_LIFETIME, NAT_REPORT_POSITIONS, NAT_REPORTS } from './limits.ts'

/** RFC 4787 §4.1. `none`: the device's own address is what others see. `address-dependent` is the least that
 *  is known where only observers at different addresses differ. */
export const NAT_MAPPINGS = [
  'unknown',
  'none',
  'endpoint-independent',
  'address-dependent',
  'address-and-port-dependent',
] as const
export type NatMapping = (typeof NAT_MAPPINGS)[number]

/** RFC 4787 §5, the most that is known to be let in: `address-dependent` may let in more. */
export const NAT_FILTERINGS = [
  'unknown',
  'endpoint-independent',
  'address-dependent',
  'address-and-port-dependent',
] as const
export type NatFiltering = (typeof NAT_FILTERINGS)[number]

export const NAT_ANSWERS = ['unknown', 'no', 'yes'] as const
export type NatAnswer = (typeof NAT_ANSWERS)[number]

export const UDP_STATES = ['unknown', 'blocked', 'works'] as const
export type UdpState = (typeof UDP_STATES)[number]

export interface NatReport {
  readonly family: AddressFamily
  readonly mapping: NatMapping
  readonly filtering: NatFiltering
  /** RFC 4787 §6. */
  readonly hairpinning: NatAnswer
  /** RFC 4787 §4.2.1: the mapped port is the device's own. */
  readonly portPreserved: NatAnswer
  readonly udp: UdpState
  /** How long an unused mapping lasted at least, when it was measured last; 0: never measured. Seconds. */
  readonly lifetime: number
}

/** `[family, mapping, filtering, hairpinning, port preserved, udp, lifetime]`. */
export function encodeNatReport(report: NatReport): CborValue {
  return [
    report.family,
    NAT_MAPPINGS.indexOf(report.mapping),
    NAT_FILTERINGS.indexOf(report.filtering),
    NAT_ANSWERS.indexOf(report.hairpinning),
    NAT_ANSWERS.indexOf(report.portPreserved),
    UDP_STATES.indexOf(report.udp),
    Math.min(Math.floor(report.lifetime), LONGEST_NAT_LIFETIME),
  ]
}

/** At most one report a family. Throws MalformedError. A word of a later version reads as `unknown`, and what
 *  it adds at the end is ignored. */
export function parseNatReports(
  claims: Claims,
  field: { readonly key: number; readonly name: string },
): readonly NatReport[] {
  const reports = list(claims, field, NAT_REPORTS, parseNatReport)
  if (new Set(reports.map(({ family }) => family)).size === reports.length) return reports
  throw new MalformedError(`${claims.what}: ${field.name} reports a family twice`)
}

function parseNatReport(item: CborValue): NatReport {
  if (!Array.isArray(item) || item.length < 7 || item.length > NAT_REPORT_POSITIONS) {
    throw new MalformedError(`NAT report: want a list of 7 to ${NAT_REPORT_POSITIONS} items`)
  }
  const [family, lifetime] = [item[0], item[6]]
  if (family !== 4 && family !== 6) throw new MalformedError('NAT report: family is not 4 or 6')
  if (typeof lifetime !== 'number' || lifetime < 0 || lifetime > LONGEST_NAT_LIFETIME) {
    throw new MalformedError(`NAT report: lifetime is not 0 to ${LONGEST_NAT_LIFETIME} s`)
  }
  return {
    family,
    mapping: word(NAT_MAPPINGS, item[1], 'mapping'),
    filtering: word(NAT_FILTERINGS, item[2], 'filtering'),
    hairpinning: word(NAT_ANSWERS, item[3], 'hairpinning'),
    portPreserved: word(NAT_ANSWERS, item[4], 'port preservation'),
    udp: word(UDP_STATES, item[5], 'UDP state'),
    lifetime,
  }
}

function word<T extends string>(
  words: readonly [T, ...T[]],
  value: CborValue | undefined,
  name: string,
): T {
  if (typeof value === 'number' && value >= 0 && value <= 255) return words[value] ?? words[0]
  throw new MalformedError(`NAT report: ${name} is not 0 to 255`)
}
