/** The issuer certificate: made by the root, renewed while two thirds of it have passed. */
import { toBase32, toBase64 } from '../crypto/bytes.ts'
import { sealEnvelope } from '../protocol/envelope.ts'
import { encodeIssuerCertificate } from '../protocol/issuer-certificate.ts'
import type { IssuerPublicKey, OrganizationId, RootKeyPair } from '../protocol/keys.ts'
import { type Seconds, seconds } from '../protocol/time.ts'
import type { Head } from './head.ts'
import type { Ranges } from './ranges.ts'

const DAY = 86_400
/** A day less than the protocol allows. */
const LIFETIME = 89 * DAY
/** Devices whose clocks are behind ours must believe it at once. */
const BACKDATED = 3600
/** The constraint on membership certificates: a stolen issuer key makes none that last longer. */
export const LONGEST_MEMBERSHIP = seconds(7 * DAY)

export function makeIssuerCertificate(
  organization: OrganizationId,
  root: RootKeyPair,
  { key, ranges }: { readonly key: IssuerPublicKey; readonly ranges: Ranges },
  now: Seconds,
): Head['issuer'] {
  const notBefore = seconds(now - BACKDATED)
  const notAfter = seconds(notBefore + LIFETIME)
  const claims = encodeIssuerCertificate({
    key,
    notBefore,
    notAfter,
    ranges,
    longestMembership: LONGEST_MEMBERSHIP,
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
