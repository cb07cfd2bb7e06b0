/** Issuer installation: what this registry wants the root to sign, and the certificate that comes back
 *  (SPEC §4.4). For organizations whose root key is elsewhere. */
import { z } from 'zod'
import { fromBase32, toBase32, toBase64 } from '../crypto/bytes.ts'
import { generateSigningKeyPair } from '../crypto/signing.ts'
import { prefixContains } from '../protocol/address.ts'
import type { EnvelopeOf } from '../protocol/envelope.ts'
import { MalformedError } from '../protocol/errors.ts'
import { isInForce, type Lock } from '../protocol/issuer-certificate.ts'
import { encodeIssuerRequest, type RequestedLock } from '../protocol/issuer-request.ts'
import {
  type DeviceId,
  type IssuerPublicKey,
  type OrganizationId,
  parseDeviceId,
  parseKey,
} from '../protocol/keys.ts'
import { APPROVERS } from '../protocol/limits.ts'
import { approversOf } from '../protocol/lock.ts'
import type { Act } from './act.ts'
import { audit } from './audit.ts'
import { DEVICE, deviceRecordId } from './device-record.ts'
import { HEAD, type Head, rangesOf } from './head.ts'
import { LONGEST_MEMBERSHIP, validityFrom } from './issuer.ts'
import { type IssuerChange, type IssuerRenewalParts, takeOver } from './issuer-renewal.ts'
import { lockIn } from './lock.ts'
import type { OrganizationChange } from './organization-change.ts'
import { Refused } from './refusal.ts'
import { openSent } from './sent-envelope.ts'
import { collection } from './store/collection.ts'

/** By organization: the issuer key that was made for a certificate that has been requested. */
export const NEXT_ISSUER = collection('next-issuer', z.strictObject({ key: z.string() }))

export interface WantedIssuer {
  /** Another key, instead of a newer certificate for the one in use. */
  readonly rotate: boolean
  /** Device ids. Empty: no lock; absent: as it is. */
  readonly approvers?: readonly string[] | undefined
}

/** The text to be signed. Asked again, a rotation names the same new key. Throws Refused
 *  (organization-unknown, issuer-certificate-invalid). */
export async function requestIssuer(
  parts: IssuerRenewalParts,
  organization: OrganizationId,
  { rotate, approvers }: WantedIssuer,
): Promise<string> {
  const head = await parts.database.get(HEAD, organization)
  if (head === undefined) throw new Refused('organization-unknown', 'no such organization')
  const key = rotate ? await nextIssuer(parts, organization) : head.issuer.key
  const now = parts.clock.now()
  const lock = await wantedLock(parts, organization, head, approvers)
  return encodeIssuerRequest({
    ...{ organization, name: head.name, purpose: rotate ? 'rotation' : 'renewal' },
    key: parseKey<'issuer'>(fromBase32(key), 'issuer'),
    ranges: rangesOf(organization, head),
    longestMembership: LONGEST_MEMBERSHIP,
    ...validityFrom(now, head.issuer.notBefore),
    ...(lock !== undefined && { lock }),
  })
}

async function nextIssuer(
  { database, issuing }: IssuerRenewalParts,
  organization: OrganizationId,
): Promise<string> {
  const known = await database.get(NEXT_ISSUER, organization)
  if (known && (await issuing.keys.nextIssuer(organization, known.key))) return known.key
  const next = generateSigningKeyPair<'issuer'>()
  await issuing.keys.saveNextIssuer(organization, next)
  const key = toBase32(next.publicKey)
  await database.transact(`next-issuer/${organization}`, async (transaction) => {
    transaction.put(NEXT_ISSUER, organization, { key })
  })
  return key
}

/** A lock keeps its beginning: a later one would let pass what was certified without an approval. */
async function wantedLock(
  { database, clock }: IssuerRenewalParts,
  organization: OrganizationId,
  head: Head,
  wanted: readonly string[] | undefined,
): Promise<RequestedLock | undefined> {
  const known = lockIn(head)
  const ids = wanted === undefined ? approversOf(known) : wanted.map(parseApprover)
  if (ids.length === 0) return undefined
  if (ids.length > APPROVERS) throw invalid(`${ids.length} approvers, at most ${APPROVERS}`)
  const approvers = []
  for (const device of new Set(ids)) {
    const record = await database.get(DEVICE, deviceRecordId(organization, device))
    if (record === undefined && !approversOf(known).includes(device)) {
      throw invalid(`approver ${device} is no device of the organization`)
    }
    approvers.push({ device, name: record?.name ?? 'removed' })
  }
  return { approvers, since: known?.since ?? clock.now() }
}

function parseApprover(text: string): DeviceId {
  try {
    return parseDeviceId(text)
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error
    throw new Refused('issuer-certificate-invalid', `approver: ${error.message}`, {
      field: 'approvers',
    })
  }
}

/** What came of it. */
export interface Installed {
  readonly kind: 'renewed' | 'rotated'
  /** Seconds. */
  readonly notAfter: number
}

/** Takes a certificate that the root has signed, after it has checked all that a device would, and that this
 *  registry can sign by it. Throws Refused (issuer-certificate-invalid, too-many-issuers).
 *  @param text base64 of the envelope
 *  @param how another issuer takes over */
export async function installIssuer(
  { issuing, log }: IssuerRenewalParts,
  organization: OrganizationId,
  { certificate: text, how }: { readonly certificate: string; readonly how: IssuerChange },
  by: Act,
): Promise<Installed> {
  const certificate = openCertificate(text, organization)
  const key = toBase32(certificate.body.key)
  const next = await issuing.keys.nextIssuer(organization, key)
  const installed = await issuing.change(organization, async (change) => {
    await checkCertificate(change, certificate)
    const { notBefore, notAfter } = certificate.body
    const made = { key, certificate: toBase64(certificate.bytes), notBefore, notAfter }
    await enterLock(change, certificate.body.lock, by)
    if (key === change.head.issuer.key) {
      const { notAfter: before } = change.head.issuer
      change.renewIssuer(made)
      await audit(change.transaction, organization, by, {
        ...{ action: 'issuer.renewed', subject: key },
        ...{ before: { notAfter: before }, after: { notAfter } },
      })
      return { kind: 'renewed' as const, notAfter }
    }
    if (next === undefined) throw unknownIssuer(certificate.body.key)
    await takeOver(change, next, made, how, by)
    change.transaction.delete(NEXT_ISSUER, organization)
    return { kind: 'rotated' as const, notAfter }
  })
  await issuing.issuerKey(organization) // puts another key in its place
  log('info', 'issuer.installed', { organization, ...installed })
  return installed
}

function openCertificate(
  text: string,
  organization: OrganizationId,
): EnvelopeOf<'issuer-certificate'> {
  const envelope = openSent(text, 'issuer-certificate', invalid)
  if (envelope.organization === organization) return envelope
  throw invalid(`it is of organization ${envelope.organization}`)
}

/** What would make devices refuse what this registry goes on to sign. */
async function checkCertificate(
  { organization, head, now, transaction }: OrganizationChange,
  { body }: EnvelopeOf<'issuer-certificate'>,
): Promise<void> {
  if (!isInForce(body, now)) throw invalid('it is not valid now (are both clocks right?)')
  if (body.notBefore <= head.issuer.notBefore) {
    throw invalid(
      'it is not newer than the one in use: devices would not follow it (request another)',
    )
  }
  for (const range of rangesOf(organization, head)) {
    if (!body.ranges.some((each) => prefixContains(each, range))) {
      throw invalid(`its ranges do not hold ${range}, where the devices have their addresses`)
    }
  }
  const { membershipLifetime = 0 } = head.settings
  if (body.longestMembership < Math.max(membershipLifetime, LONGEST_MEMBERSHIP)) {
    throw invalid(
      `its longest membership is ${body.longestMembership} s, want ${LONGEST_MEMBERSHIP} s`,
    )
  }
  for (const approver of approversOf(body.lock)) {
    if (await transaction.get(DEVICE, deviceRecordId(organization, approver))) return
  }
  if (body.lock !== undefined)
    throw invalid('none of its approvers is a device here: nobody could approve')
}

async function enterLock(
  change: OrganizationChange,
  after: Lock | undefined,
  by: Act,
): Promise<void> {
  const [before, wanted] = [approversOf(lockIn(change.head)), approversOf(after)]
  if (before.toSorted().join() === wanted.toSorted().join()) return
  await audit(change.transaction, change.organization, by, {
    ...{ action: 'lock.changed', subject: change.organization },
    ...{ before: { approvers: before }, after: { approvers: wanted } },
  })
}

function unknownIssuer(key: IssuerPublicKey): Refused {
  return invalid(
    `issuer ${toBase32(key)} is not of this registry, or its key is lost (request another: nexctl organization root request)`,
  )
}

function invalid(why: string, cause?: unknown): Refused {
  return new Refused('issuer-certificate-invalid', `the issuer certificate: ${why}`, {
    ...{ field: 'certificate', cause },
  })
}
