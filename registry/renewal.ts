/** Renewal: a member gets its next certificate by proof of its device key alone, so that no person and
 *  no identity provider need be there. */
import { fromBase64, toHex } from '../crypto/bytes.ts'
import type { Clock } from '../protocol/clock.ts'
import {
  claimWireguardKey,
  deviceRecordId,
  freeWireguardKey,
  REMOVED_DEVICE,
} from './device-record.ts'
import type { Membership } from './enrolment.ts'
import type { Issuing } from './issuing.ts'
import type { OrganizationChange } from './organization-change.ts'
import { type Possession, provePossession, spendProof } from './possession.ts'
import { Refused } from './refusal.ts'

export interface RenewalParts {
  readonly issuing: Issuing
  readonly publicUrl: string
  readonly clock: Pick<Clock, 'now'>
}

/** @param request base64 of a proof envelope with purpose `renewal`; its WireGuard key, which may be a
 *  new one, goes into the certificate. Throws Refused (proof-…, organization-unknown, not-enrolled,
 *  device-removed, wireguard-key-taken, too-many-certificates, issuer-unusable). */
export async function renew(
  { issuing, publicUrl, clock }: RenewalParts,
  request: string,
): Promise<Membership> {
  const wanted = { purpose: 'renewal', audience: publicUrl, field: 'request' } as const
  const possession = provePossession(request, wanted, clock.now())
  const { organization } = possession
  const certificate = await issuing.change(organization, (change) => renewIn(change, possession))
  return { organization, envelopes: [...(await issuing.foundation(organization)), certificate] }
}

async function renewIn(change: OrganizationChange, possession: Possession): Promise<Uint8Array> {
  const { transaction, organization } = change
  const { device } = possession
  const record = await change.device(device)
  const { number } = record ?? {}
  if (record === undefined || number === undefined) throw await notEnrolled(change, possession)
  await spendProof(transaction, possession)
  const key = toHex(possession.wireguardKey)
  if (key !== record.wireguardKey) {
    await claimWireguardKey(transaction, organization, device, key)
    freeWireguardKey(transaction, organization, record.wireguardKey)
  }
  const { certificate = '' } = change.certify(device, { ...record, number, wireguardKey: key })
  return fromBase64(certificate)
}

async function notEnrolled(
  { transaction, organization }: OrganizationChange,
  { device }: Possession,
): Promise<Refused> {
  const removed = await transaction.get(REMOVED_DEVICE, deviceRecordId(organization, device))
  return removed === undefined
    ? new Refused('not-enrolled', `the device is not enrolled in organization ${organization}`)
    : new Refused(
        'device-removed',
        `the device was removed from organization ${organization} on ${new Date(removed.removedAt * 1000).toISOString()} (run nexd up to ask for approval again)`,
      )
}
