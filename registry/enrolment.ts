/** Enrolment: a device that someone let in becomes a member. By a token (a person approved it, see
 *  device-authorization.ts) or by a registration key. */
import { fromBase64, toHex } from '../crypto/bytes.ts'
import type { Clock } from '../protocol/clock.ts'
import { MalformedError } from '../protocol/errors.ts'
import type { DeviceId, OrganizationId } from '../protocol/keys.ts'
import type { Log } from '../protocol/log.ts'
import { parseDeviceName, type Role } from '../protocol/membership-certificate.ts'
import type { Act } from './act.ts'
import { allocate, numberOf } from './addresses.ts'
import { audit } from './audit.ts'
import type { DeviceAuthorizations } from './device-authorization.ts'
import type { DeviceOwner } from './device-change.ts'
import { withOwner } from './device-owner.ts'
import {
  claimName,
  claimWireguardKey,
  type DeviceRecord,
  deviceRecordId,
  freeWireguardKey,
  REMOVED_DEVICE,
} from './device-record.ts'
import { type DeviceRequest, withRequest } from './device-requests.ts'
import type { Issuing } from './issuing.ts'
import type { OrganizationChange } from './organization-change.ts'
import {
  type ClaimedKeys,
  checkClaimedKeys,
  type Possession,
  provePossession,
  spendProof,
} from './possession.ts'
import { highestNumberOf } from './ranges.ts'
import { Refused } from './refusal.ts'
import type { RegistrationKeys } from './registration-keys.ts'

/** Any member may carry what it can't read for others of its organization; an administrator may say no. */
export const FIRST_ROLES: readonly Role[] = ['relay']

export interface EnrolmentRequest extends ClaimedKeys {
  readonly credential: { readonly token: string } | { readonly registrationKey: string }
  readonly name: string
  readonly system: string
  readonly requestedAddress: string | undefined
  /** What it wants to advertise and to be; undefined: it does not speak of it. */
  readonly asks?: DeviceRequest | undefined
  /** Base64 of a proof envelope. */
  readonly proof: string
}

export interface Membership {
  readonly organization: OrganizationId
  /** Issuer certificate, manifest, membership certificate. */
  readonly envelopes: readonly Uint8Array[]
}

export interface EnrolmentParts {
  readonly issuing: Issuing
  readonly authorizations: DeviceAuthorizations
  readonly registrationKeys: RegistrationKeys
  readonly publicUrl: string
  readonly clock: Pick<Clock, 'now'>
  readonly log: Log
}

/** A device key that is enrolled already stays the device it is: same name, same addresses, a new
 *  certificate. Throws Refused. */
export async function enrol(
  parts: EnrolmentParts,
  request: EnrolmentRequest,
  by: Act,
): Promise<Membership> {
  const { issuing, authorizations, registrationKeys, publicUrl, clock } = parts
  const wanted = { purpose: 'enrolment', audience: publicUrl, field: 'proof' } as const
  const possession = provePossession(request.proof, wanted, clock.now())
  checkClaimedKeys(possession, request)
  const name = checkName(request.name)
  const { device } = possession
  const { credential } = request
  const organization =
    'token' in credential
      ? await authorizations.organizationOf(credential.token)
      : await registrationKeys.organizationOf(credential.registrationKey)
  const certificate = await issuing.change(organization, async (change) => {
    await spendProof(change.transaction, possession)
    const grant =
      'token' in credential
        ? await authorizations.spend(change, credential.token, possession)
        : await registrationKeys.spend(change, credential.registrationKey, device)
    const { system, asks, requestedAddress } = request
    const admitted = await admit(change, possession, { ...grant, name, system })
    const asking = withRequest(change, admitted, asks)
    const certified = await certifyDevice(change, issuing, device, asking, requestedAddress)
    await audit(
      change.transaction,
      organization,
      { ...by, who: { kind: 'device', device } },
      {
        ...{ action: 'device.enrolled', subject: device },
        after: { name: admitted.name, owner: admitted.owner, system },
      },
    )
    return certified
  })
  parts.log('info', 'device.enrolled', {
    ...{ id: by.requestId, organization, device, system: request.system },
    by: 'token' in credential ? 'approval' : 'registration-key',
  })
  return {
    organization,
    envelopes: [...(await issuing.foundationFor(organization, device)), certificate],
  }
}

/** Throws Refused (device-invalid). */
export function checkName(name: string): string {
  try {
    return parseDeviceName(name)
  } catch (cause) {
    if (!(cause instanceof MalformedError)) throw cause
    throw new Refused('device-invalid', cause.message, { cause, field: 'name' })
  }
}

/** What whoever let the device in says of it. */
export interface Admission extends DeviceOwner {
  /** Of a registration key, for a device that is new. */
  readonly groups?: readonly string[] | undefined
  readonly ephemeralAfter?: number | undefined
  readonly name: string
  readonly system: string
  /** A person said yes to this very device; a registration key says yes to whoever has it. */
  readonly byPerson: boolean
}

/** The record of a device that is let in: made, or brought up to date. Puts the record and its indexes.
 *  Throws Refused (device-removed, wireguard-key-taken). */
export async function admit(
  change: OrganizationChange,
  { device, wireguardKey }: Pick<Possession, 'device' | 'wireguardKey'>,
  admission: Admission,
): Promise<DeviceRecord> {
  const { transaction, organization, now } = change
  await checkNotRemoved(change, device, admission.byPerson)
  const known = await change.device(device)
  const key = toHex(wireguardKey)
  if (known !== undefined && known.wireguardKey !== key) {
    freeWireguardKey(transaction, organization, known.wireguardKey)
  }
  await claimWireguardKey(transaction, organization, device, key)
  const record: DeviceRecord = {
    name: known?.name ?? (await claimName(transaction, organization, device, admission.name)),
    owner: admission.owner,
    ...ownershipOf(change, admission, known),
    system: admission.system,
    wireguardKey: key,
    groups: known?.groups ?? [...(admission.groups ?? [])],
    prefixes: known?.prefixes ?? [],
    roles: known?.roles ?? [...FIRST_ROLES],
    createdAt: known?.createdAt ?? now,
    renewedAt: known?.renewedAt ?? now,
    issued: known?.issued ?? [],
    ...keptOf(known),
  }
  change.putDevice(device, record)
  return record
}

/** A person who lets a device in vouches for it for a while; a device that came by a key needs nobody. */
function ownershipOf(
  { now }: OrganizationChange,
  { ownerId, byPerson, ephemeralAfter }: Admission,
  known: DeviceRecord | undefined,
): Pick<DeviceRecord, 'ownerId' | 'vouchedAt' | 'ephemeralAfter'> {
  const vouchedAt = byPerson ? now : known?.vouchedAt
  const away = known === undefined ? ephemeralAfter : known.ephemeralAfter
  return {
    ...(ownerId !== undefined && { ownerId }),
    ...(vouchedAt !== undefined && { vouchedAt }),
    // What a person lets in stays.
    ...(away !== undefined && !byPerson && { ephemeralAfter: away }),
  }
}

/** What a device that comes again keeps. */
function keptOf(known: DeviceRecord | undefined): Partial<DeviceRecord> {
  if (known === undefined) return {}
  const { number, certificate, metadata, asked, denied } = known
  return {
    ...(number !== undefined && { number }),
    ...(certificate !== undefined && { certificate }),
    ...(metadata !== undefined && { metadata }),
    ...(asked !== undefined && { asked }),
    ...(denied !== undefined && { denied }),
  }
}

async function checkNotRemoved(
  { transaction, organization }: OrganizationChange,
  device: DeviceId,
  byPerson: boolean,
): Promise<void> {
  const id = deviceRecordId(organization, device)
  if ((await transaction.get(REMOVED_DEVICE, id)) === undefined) return
  if (byPerson) return transaction.delete(REMOVED_DEVICE, id)
  throw new Refused(
    'device-removed',
    'the device was removed from the organization: a registration key does not bring it back (have a person approve it: nexd up without --reg-key)',
  )
}

/** Gives the device its addresses if it has none, and a certificate. */
async function certifyDevice(
  change: OrganizationChange,
  issuing: Issuing,
  device: DeviceId,
  record: DeviceRecord,
  requestedAddress: string | undefined,
): Promise<Uint8Array> {
  const number = await numberFor(change, issuing, device, record, requestedAddress)
  const owned = await withOwner(change, record)
  const { certificate = '' } = change.certify(device, { ...owned, number })
  return fromBase64(certificate)
}

async function numberFor(
  change: OrganizationChange,
  { settings }: Issuing,
  device: DeviceId,
  record: DeviceRecord,
  requestedAddress: string | undefined,
): Promise<number> {
  const { organization, transaction, head, now } = change
  const ranges = change.ranges()
  const requested = requestedAddress === undefined ? undefined : numberOf(ranges, requestedAddress)
  if (record.number !== undefined) {
    if (requested === undefined || requested === record.number) return record.number
    throw new Refused(
      'address-not-free',
      `the device has an address already: ${requestedAddress} can be asked for when it enrols first (remove it to start anew)`,
      { field: 'requestedAddress' },
    )
  }
  const { lastNumber: last } = head
  const highest = Math.min(settings.addresses, highestNumberOf(ranges))
  const number = await allocate(transaction, {
    ...{ organization, ranges, device, last, highest, requested, now },
  })
  if (requested === undefined) change.head = { ...head, lastNumber: Math.max(last, number) }
  return number
}
