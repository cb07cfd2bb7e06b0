/** Issuer certificate: the root's leave for a registry's signing key (SPEC §4.1). */
import { toBase32 } from '../crypto/bytes.ts'
import { type Prefix, parsePrefix, prefixContains } from './address.ts'
import { bytes, type Claims, integer, list, moment } from './claims.ts'
import type { CborMap, CborValue } from './codec.ts'
import { MalformedError } from './errors.ts'
import { type DevicePublicKey, type IssuerPublicKey, parseKey } from './keys.ts'
import { APPROVERS, ISSUER_CERTIFICATE_LIFETIME, RANGES } from './limits.ts'
import type { Seconds } from './time.ts'

export interface IssuerCertificate {
  readonly key: IssuerPublicKey
  readonly notBefore: Seconds
  readonly notAfter: Seconds
  /** Constraint: members' addresses lie in these. */
  readonly ranges: readonly Prefix[]
  /** Constraint: the longest lifetime of a membership certificate. */
  readonly longestMembership: Seconds
  /** Constraint: who must approve members; absent: nobody need. */
  readonly lock?: Lock
}

/** What a lock demands (SPEC §4.3). */
export interface Lock {
  /** Devices of which one must have approved a member. At least one, none twice. */
  readonly approvers: readonly DevicePublicKey[]
  /** Membership certificates that begin before need no approval. */
  readonly since: Seconds
}

const KEY = { key: -65537, name: 'issuer key' }
const NOT_BEFORE = { key: 5, name: 'notBefore' }
const NOT_AFTER = { key: 4, name: 'notAfter' }
const RANGE = { key: -65538, name: 'ranges' }
const LONGEST = { key: -65539, name: 'longestMembership' }
const APPROVER = { key: -65540, name: 'approvers' }
const SINCE = { key: -65541, name: 'locked since' }

export function encodeIssuerCertificate(certificate: IssuerCertificate): CborMap {
  const { lock } = certificate
  return new Map<CborValue, CborValue>([
    [NOT_AFTER.key, certificate.notAfter],
    [NOT_BEFORE.key, certificate.notBefore],
    [KEY.key, certificate.key],
    [RANGE.key, [...certificate.ranges]],
    [LONGEST.key, certificate.longestMembership],
    ...(lock === undefined ? [] : lockClaims(lock)),
  ])
}

function lockClaims({ approvers, since }: Lock): [CborValue, CborValue][] {
  return [
    [APPROVER.key, [...approvers]],
    [SINCE.key, since],
  ]
}

/** What demands approvals takes another type: who does not know of them must not believe it (SPEC §3.8). */
export function isLocked(claims: CborMap): boolean {
  return claims.has(APPROVER.key)
}

/** Type 2: with a lock. Throws MalformedError. */
export function parseLockedIssuerCertificate(claims: Claims): IssuerCertificate {
  const approvers = list(claims, APPROVER, APPROVERS, (item) => approverItem(claims.what, item))
  if (approvers.length === 0) throw new MalformedError(`${claims.what}: no approvers, want one`)
  if (new Set(approvers.map(toBase32)).size < approvers.length) {
    throw new MalformedError(`${claims.what}: one of the approvers is named twice`)
  }
  return { ...parseFields(claims), lock: { approvers, since: moment(claims, SINCE) } }
}

function approverItem(what: string, item: CborValue): DevicePublicKey {
  if (!(item instanceof Uint8Array)) throw new MalformedError(`${what}: approvers must be bytes`)
  return parseKey(item, `${what}: ${APPROVER.name}`)
}

/** Type 1: without a lock. Throws MalformedError. */
export function parseIssuerCertificate(claims: Claims): IssuerCertificate {
  if (isLocked(claims.map)) {
    throw new MalformedError(`${claims.what}: approvers take the type nexodus/issuer-certificate/2`)
  }
  return parseFields(claims)
}

function parseFields(claims: Claims): IssuerCertificate {
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

/** Does the root vouch for the issuer at this moment? */
export function isInForce({ notBefore, notAfter }: IssuerCertificate, now: Seconds): boolean {
  return notBefore <= now && now < notAfter
}

/** May this issuer give out `prefix` as an address? */
export function isInRanges(certificate: IssuerCertificate, prefix: Prefix): boolean {
  return certificate.ranges.some((range) => prefixContains(range, prefix))
}
