/** Issuer renewal: the root signs the issuer's certificate again, or another issuer in its place. */
import { fromBase32, fromBase64 } from '../crypto/bytes.ts'
import { generateSigningKeyPair } from '../crypto/signing.ts'
import type { Clock } from '../protocol/clock.ts'
import { openEnvelope } from '../protocol/envelope.ts'
import {
  type DeviceId,
  type IssuerKeyPair,
  type OrganizationId,
  parseKey,
  type RootKeyPair,
} from '../protocol/keys.ts'
import { ISSUERS } from '../protocol/limits.ts'
import type { Log } from '../protocol/log.ts'
import type { Act } from './act.ts'
import { audit } from './audit.ts'
import type { Connected } from './device-presence.ts'
import { DEVICE, deviceRecordId } from './device-record.ts'
import { eachOrganization } from './each-organization.ts'
import { HEAD, type Head, rangesOf } from './head.ts'
import { isCertificateDue, makeIssuerCertificate } from './issuer.ts'
import type { Issuing } from './issuing.ts'
import { isUnlockedIn, lockIn } from './lock.ts'
import { CERTIFICATES_AT_ONCE, type OrganizationChange } from './organization-change.ts'
import { Refused } from './refusal.ts'
import { unlessUnreadable } from './sealing.ts'
import type { Database } from './store/database.ts'

export interface IssuerRenewalParts {
  readonly issuing: Issuing
  readonly database: Database
  readonly clock: Pick<Clock, 'now'>
  readonly log: Log
}

/** How another issuer takes over (SPEC §5.6). `overlap`: what the one before has signed counts until it
 *  ends. `at-once`: it counts no more, for the key may be known to others. */
export const ISSUER_CHANGES = ['overlap', 'at-once'] as const
export type IssuerChange = (typeof ISSUER_CHANGES)[number]

/** Renews issuer certificates of which two thirds have passed, where the root key is here, and ends
 *  overlaps that are over. To be called every few minutes. */
export async function renewIssuers(parts: IssuerRenewalParts): Promise<void> {
  await eachOrganization(parts, 'issuers', async (organization) => {
    const head = await parts.database.get(HEAD, organization)
    if (head === undefined || head.deletedAt !== undefined) return
    if (isCertificateDue(head.issuer, parts.clock.now())) await renewIssuer(parts, organization)
    await endOverlap(parts, organization, head)
  })
}

async function renewIssuer(
  { issuing, log }: IssuerRenewalParts,
  organization: OrganizationId,
): Promise<void> {
  const root = await issuing.keys.root(organization)
  if (root === undefined) return // issuer-expiry.ts says so in time
  const isRenewed = await issuing.change(organization, async (change) => {
    // Another registry may have been first.
    if (!isCertificateDue(change.head.issuer, change.now)) return false
    const key = parseKey<'issuer'>(fromBase32(change.head.issuer.key), 'issuer')
    change.renewIssuer(certificateFor(change, root, key))
    return true
  })
  if (isRenewed) log('info', 'issuer.renewed', { organization })
}

function certificateFor(
  { organization, head, now }: OrganizationChange,
  root: RootKeyPair,
  key: IssuerKeyPair['publicKey'],
): Head['issuer'] {
  const made = {
    key,
    ranges: rangesOf(organization, head),
    lock: lockIn(head),
    after: head.issuer.notBefore,
  }
  return makeIssuerCertificate(organization, root, made, now)
}

/** Another issuer, by the root key that is here. Throws Refused (root-key-missing, too-many-issuers). */
export async function rotateIssuer(
  { issuing, log }: Omit<IssuerRenewalParts, 'database' | 'clock'>,
  organization: OrganizationId,
  how: IssuerChange,
  by: Act,
): Promise<void> {
  const root = await issuing.keys.root(organization)
  if (root === undefined) {
    throw new Refused(
      'root-key-missing',
      'the root key is not here: have it sign another issuer with nexctl organization root request --rotate, root sign and root install',
    )
  }
  const next = generateSigningKeyPair<'issuer'>()
  await issuing.keys.saveNextIssuer(organization, next)
  await issuing.change(organization, (change) =>
    takeOver(change, next, certificateFor(change, root, next.publicKey), how, by),
  )
  await issuing.issuerKey(organization) // puts the key in its place
  log('warn', 'issuer.rotated', { organization, how })
}

/** Inside a change: from here on `next` signs. Throws Refused (too-many-issuers). */
export async function takeOver(
  change: OrganizationChange,
  next: IssuerKeyPair,
  certificate: Head['issuer'],
  how: IssuerChange,
  by: Act,
): Promise<void> {
  const { key: before } = change.head.issuer
  if (how === 'at-once') {
    change.useIssuer(next, certificate)
    await change.publishManifest()
    await change.certifyAll()
  } else {
    if ((change.head.formerIssuers ?? []).length + 2 > ISSUERS) {
      throw new Refused(
        'too-many-issuers',
        `${ISSUERS} issuers are listed, the most there may be: wait until what the oldest has signed has ended`,
      )
    }
    await change.followIssuer(next, certificate)
    await change.publishManifest()
  }
  await audit(change.transaction, change.organization, by, {
    ...{ action: 'issuer.rotated', subject: certificate.key },
    ...{ before: { issuer: before }, after: { issuer: certificate.key, how } },
  })
}

/** Drops issuers of which no membership certificate is left. */
async function endOverlap(
  { issuing, clock, log }: IssuerRenewalParts,
  organization: OrganizationId,
  { formerIssuers = [] }: Head,
): Promise<void> {
  if (formerIssuers.every(({ until }) => until > clock.now())) return
  const ended = await issuing.change(organization, async (change) => {
    const { formerIssuers: known = [], ...head } = change.head
    const kept = known.filter(({ until }) => until > change.now)
    if (kept.length === known.length) return 0
    change.head = { ...head, ...(kept.length > 0 && { formerIssuers: kept }) }
    await change.publishManifest()
    return known.length - kept.length
  })
  if (ended > 0) log('info', 'issuer.overlap-ended', { organization, issuers: ended })
}

/** Devices certified in one transaction. */
const AT_ONCE = 100

/** During an overlap: certificates of the new issuer for devices that are connected, at once; the others
 *  get theirs as they renew. To be called every few minutes. */
export async function certifyConnected(
  { issuing, database, log }: Omit<IssuerRenewalParts, 'clock'>,
  connected: Connected,
): Promise<void> {
  await eachOrganization({ issuing, log }, 'overlaps', async (organization) => {
    const head = await database.get(HEAD, organization)
    if (head?.formerIssuers === undefined || head.deletedAt !== undefined) return
    const behind: DeviceId[] = []
    for (const { device } of connected(organization)) {
      const id = device as DeviceId // a link's
      const record = await database.get(DEVICE, deviceRecordId(organization, id))
      if (isBehind(record?.certificate, head)) behind.push(id)
    }
    for (let from = 0; from < behind.length; from += AT_ONCE) {
      const devices = behind.slice(from, from + AT_ONCE)
      await issuing.change(organization, (change) => certifyBehind(change, devices))
    }
  })
}

function isBehind(certificate: string | undefined, { issuer }: Head): boolean {
  return certificate !== undefined && openEnvelope(fromBase64(certificate)).signer !== issuer.key
}

/** Of another certificate a device has no use that must not have more, waits for an approver, or could not read it. */
async function certifyBehind(
  change: OrganizationChange,
  devices: readonly DeviceId[],
): Promise<void> {
  const { transaction, organization, head, now } = change
  const lock = lockIn(head)
  for (const id of devices) {
    const record = await change.device(id)
    const { number, certificate, issued = [], wireguardKey = '' } = record ?? {}
    if (record === undefined || number === undefined || !isBehind(certificate, head)) continue
    const alive = issued.filter(({ notAfter }) => notAfter > now)
    if (alive.length === 0 || alive.length >= CERTIFICATES_AT_ONCE) continue
    if (!(await isUnlockedIn(transaction, organization, lock, id, wireguardKey))) continue
    unlessUnreadable(() => change.certify(id, { ...record, number }))
  }
}
