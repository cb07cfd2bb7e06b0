/** Sealing: what the registry signs for others is opened here first. What nobody could open is refused while it is
 *  still somebody's wish, and nothing of it is kept. */
import { encodeCbor } from '../protocol/codec.ts'
import { openEnvelope, sealEnvelope } from '../protocol/envelope.ts'
import { MalformedError } from '../protocol/errors.ts'
import type { IssuerKeyPair, OrganizationId } from '../protocol/keys.ts'
import { ENVELOPE_BYTES } from '../protocol/limits.ts'
import { encodeManifest } from '../protocol/manifest.ts'
import { encodeMembershipCertificate } from '../protocol/membership-certificate.ts'
import { Refused } from './refusal.ts'

/** Bytes of a manifest's sequence at most, as far as anybody will count. */
const SEQUENCE_BYTES = 5

/** Throws Refused (certificate-invalid), also where it would not fit any more once manifests have a longer number: what
 *  is certified once is certified again. */
export function sealCertificate(
  organization: OrganizationId,
  certificate: Parameters<typeof encodeMembershipCertificate>[0],
  serial: Uint8Array,
  issuer: IssuerKeyPair,
): Uint8Array {
  const claims = encodeMembershipCertificate(certificate, serial)
  const envelope = sealEnvelope('membership-certificate', organization, claims, issuer)
  const room = SEQUENCE_BYTES - encodeCbor(certificate.manifestSequence).length
  const length = envelope.length + room
  if (length > ENVELOPE_BYTES) throw tooLong(length, certificate)
  return opened(envelope, (why, cause) => {
    const detail = `the certificate of "${certificate.name}" could not be read: ${why}`
    return new Refused('certificate-invalid', detail, { cause })
  })
}

function tooLong(
  length: number,
  { name, groups, prefixes }: Parameters<typeof encodeMembershipCertificate>[0],
): Refused {
  const ofGroups = encodeCbor([...groups]).length
  const ofPrefixes = encodeCbor([...prefixes]).length
  const field = ofGroups > ofPrefixes ? 'groups' : 'prefixes'
  return new Refused(
    'certificate-invalid',
    `${field}: the certificate of "${name}" would have ${length} bytes, want at most ${ENVELOPE_BYTES} (its groups take ${ofGroups}, its prefixes ${ofPrefixes}: give it fewer or shorter ones)`,
    { field },
  )
}

/** Throws Refused (manifest-invalid). */
export function sealManifest(
  organization: OrganizationId,
  ...[manifest, revocations, issuer]: [...Parameters<typeof encodeManifest>, IssuerKeyPair]
): Uint8Array {
  const claims = encodeManifest(manifest, revocations)
  const envelope = sealEnvelope('manifest', organization, claims, issuer)
  return opened(envelope, (why, cause) => {
    const detail = `the next manifest could not be read: ${why} (shorten the names or the policy)`
    return new Refused('manifest-invalid', detail, { cause })
  })
}

function opened(
  envelope: Uint8Array,
  refused: (why: string, cause: unknown) => Refused,
): Uint8Array {
  try {
    openEnvelope(envelope)
    return envelope
  } catch (error) {
    if (error instanceof MalformedError) throw refused(error.message, error)
    throw error
  }
}

/** Of many devices one that is refused its certificate keeps the others from none: it is told when it renews. */
export function unlessUnreadable(certify: () => unknown): void {
  try {
    certify()
  } catch (error) {
    if (!(error instanceof Refused) || error.code !== 'certificate-invalid') throw error
  }
}
