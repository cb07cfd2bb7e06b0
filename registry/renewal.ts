/** Renewal: a member gets its next certificate by proof of its device key alone, so that no person and
 *  no identity provider need be there. */
import { fromBase64, toHex } from '../crypto/bytes.ts'
import type { Clock } from '../protocol/clock.ts'
import { checkOwner, withOwner } from './device-owner.ts'
import {
  claimWireguardKey,
  type DeviceRecord,
  deviceRecordId,
  freeWireguardKey,
  REMOVED_DEVICE,
} from './device-record.ts'
import { type DeviceRequest, withRequest } from './device-requests.ts'
import type { Membership } from './enrolment.ts'
import type { Issuing } from './issuing.ts'
import { certificateThatWaits } from './lock.ts'
import type { OrganizationChange } from './organization-change.ts'
import { type Possession, provePossession, spendProof } from './possession.ts'
import { Refused } from './refusal.ts'

export interface RenewalParts {
  readonly issuing: Issuing
  readonly publicUrl: string
  readonly clock: Pick<Clock, 'now'>
}

/** @param request base64 of a proof envelope with purpose `renewal`; its WireGuard key, which may be a
 *  new one, goes into the certificate
 *  @param asks what the device wants to advertise and to be; undefined: it does not speak of it
 *  Throws Refused (proof-…, organization-unknown, not-enrolled, device-removed, owner-removed,
 *  sign-in-needed, prefix-invalid, wireguard-key-taken, too-many-certificates, issuer-unusable). */
export async function renew(
  { issuing, publicUrl, clock }: RenewalParts,
  request: string,
  asks?: DeviceRequest,
): Promise<Membership> {
  const wanted = { purpose: 'renewal', audience: publicUrl, field: 'request' } as const
  const possession = provePossession(request, wanted, clock.now())
  const { organization } = possession
  const certificate = await issuing.change(organization, async (change) => {
    const record = await renewable(change, possession)
    await checkOwner(change, record, publicUrl)
    const asking = withRequest(change, record, asks)
    return renewIn(change, possession, { ...asking, number: record.number })
  })
  const vouching = await issuing.foundationFor(organization, possession.device)
  return { organization, envelopes: [...vouching, certificate] }
}

type Enrolled = DeviceRecord & { readonly number: number }

/** Throws Refused (not-enrolled, device-removed). */
async function renewable(change: OrganizationChange, possession: Possession): Promise<Enrolled> {
  const record = await change.device(possession.device)
  const { number } = record ?? {}
  if (record === undefined || number === undefined) throw await notEnrolled(change, possession)
  return { ...record, number }
}

async function renewIn(
  change: OrganizationChange,
  possession: Possession,
  record: Enrolled,
): Promise<Uint8Array> {
  const { transaction, organization } = change
  const { device } = possession
  await spendProof(transaction, possession)
  const waiting = await certificateThatWaits(change, device, record, possession.wireguardKey)
  if (waiting !== undefined) {
    change.putDevice(device, record)
    return waiting
  }
  const key = toHex(possession.wireguardKey)
  if (key !== record.wireguardKey) {
    await claimWireguardKey(transaction, organization, device, key)
    freeWireguardKey(transaction, organization, record.wireguardKey)
  }
  const owned = await withOwner(change, { ...record, wireguardKey: key })
  const { certificate = '' } = change.certify(device, { ...owned, number: record.number })
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
