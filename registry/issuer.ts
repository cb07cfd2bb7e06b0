/** The issuer certificate: made by the root, renewed while two thirds of it have passed. */
import { toBase32, toBase64 } from '../crypto/bytes.ts'
import { sealEnvelope } from '../protocol/envelope.ts'
import { encodeIssuerCertificate, type Lock } from '../protocol/issuer-certificate.ts'
import type { IssuerPublicKey, OrganizationId, RootKeyPair } from '../protocol/keys.ts'
import { type Seconds, seconds } from '../protocol/time.ts'
import type { Head } from './head.ts'
import type { Ranges } from './ranges.ts'

const DAY = 86_400
/** A day less than the protocol allows. */
const LIFETIME = 89 * DAY
/** Seconds. */
const BACKDATED = 3600
/** The constraint on membership certificates: a stolen issuer key makes none that last longer. */
export const LONGEST_MEMBERSHIP = seconds(7 * DAY)

/** An hour back, so that devices whose clocks are behind believe it at once, but later than `last`: of
 *  two certificates the later one counts. */
export function validityFrom(
  now: Seconds,
  last = 0,
): { readonly notBefore: Seconds; readonly notAfter: Seconds } {
  const notBefore = seconds(Math.max(now - BACKDATED, last + 1))
  return { notBefore, notAfter: seconds(notBefore + LIFETIME) }
}

export interface MadeOf {
  /** Beginning of the certificate before. */
  readonly after?: number

  readonly key: IssuerPublicKey
  readonly ranges: Ranges
  readonly lock?: Lock | undefined
}

export function makeIssuerCertificate(
  organization: OrganizationId,
  root: RootKeyPair,
  { key, ranges, lock, after }: MadeOf,
  now: Seconds,
): Head['issuer'] {
  const { notBefore, notAfter } = validityFrom(now, after)
  const claims = encodeIssuerCertificate({
    key,
    notBefore,
    notAfter,
    ranges,
    longestMembership: LONGEST_MEMBERSHIP,
    ...(lock !== undefined && { lock }),
  })
  const certificate = toBase64(sealEnvelope('issuer-certificate', organization, claims, root))
  return { key: toBase32(key), certificate, notBefore, notAfter }
}

export function isCertificateDue(
  { notBefore, notAfter }: Pick<Head['issuer'], 'notBefore' | 'notAfter'>,
  now: Seconds,
): boolean {
  return now >= notBefore + ((notAfter - notBefore) * 2) / 3
}
