/** Issuer certificate: the root's leave for a registry's signing key (SPEC §4.1). */
import { type Prefix, parsePrefix, prefixContains } from './address.ts'
import { bytes, type Claims, integer, list, moment } from './claims.ts'
import type { CborMap, CborValue } from './codec.ts'
import { MalformedError } from './errors.ts'
import { type IssuerPublicKey, parseKey } from './keys.ts'
import { ISSUER_CERTIFICATE_LIFETIME, RANGES } from './limits.ts'
import type { Seconds } from './time.ts'

export interface IssuerCertificate {
  readonly key: IssuerPublicKey
  readonly notBefore: Seconds
  readonly notAfter: Seconds
  /** Constraint: members' addresses lie in these. */
  readonly ranges: readonly Prefix[]
  /** Constraint: the longest lifetime of a membership certificate. */
  readonly longestMembership: Seconds
}

const KEY = { key: -65537, name: 'issuer key' }
const NOT_BEFORE = { key: 5, name: 'notBefore' }
const NOT_AFTER = { key: 4, name: 'notAfter' }
const RANGE = { key: -65538, name: 'ranges' }
const LONGEST = { key: -65539, name: 'longestMembership' }

export function encodeIssuerCertificate(certificate: IssuerCertificate): CborMap {
  return new Map<CborValue, CborValue>([
    [NOT_AFTER.key, certificate.notAfter],
    [NOT_BEFORE.key, certificate.notBefore],
    [KEY.key, certificate.key],
    [RANGE.key, [...certificate.ranges]],
    [LONGEST.key, certificate.longestMembership],
  ])
}

/** Throws MalformedError. */
export function parseIssuerCertificate(claims: Claims): IssuerCertificate {
  const notBefore = moment(claims, NOT_BEFORE)
  const notAfter = moment(claims, NOT_AFTER)
  if (notAfter <= notBefore || notAfter - notBefore > ISSUER_CERTIFICATE_LIFETIME) {
    throw new MalformedError(
      `${claims.what}: lasts ${notAfter - notBefore} s, want 1 to ${ISSUER_CERTIFICATE_LIFETIME}`,
    )
  }
  return {
    key: parseKey(bytes(claims, KEY, 32), `${claims.what}: ${KEY.name}`),
    notBefore,
    notAfter,
    ranges: list(claims, RANGE, RANGES, prefixItem),
    longestMembership: integer(claims, LONGEST, 1, 2 ** 31) as Seconds,
  }
}

export function prefixItem(item: CborValue): Prefix {
  if (typeof item !== 'string') throw new MalformedError('prefix: must be text')
  const prefix = parsePrefix(item)
  if (prefix !== item) throw new MalformedError(`prefix "${item}": canonical form is "${prefix}"`)
  return prefix
}

/** May this issuer give out `prefix` as an address? */
export function isInRanges(certificate: IssuerCertificate, prefix: Prefix): boolean {
  return certificate.ranges.some((range) => prefixContains(range, prefix))
}
