/** Devices of an organization, as its people see and change them. */
import { type Prefix, parsePrefix, prefixAddress } from '../protocol/address.ts'
import { type DeviceId, type OrganizationId, parseDeviceId } from '../protocol/keys.ts'
import type { Role } from '../protocol/membership-certificate.ts'
import { type Seconds, seconds } from '../protocol/time.ts'
import type { Act } from './act.ts'
import { addressesOf } from './addresses.ts'
import { audit, difference } from './audit.ts'
import { changeDevice, type DeviceChange } from './device-change.ts'
import type { Metadata } from './device-metadata.ts'
import { DEVICE, type DeviceRecord, deviceRecordId } from './device-record.ts'
import { removeDevice } from './device-removal.ts'
import { type DeviceRequest, decideRequest, openRequestOf } from './device-requests.ts'
import { HEAD, rangesOf } from './head.ts'
import type { Issuing } from './issuing.ts'
import type { OrganizationChange } from './organization-change.ts'
import { type Page, type PageRequest, readPage } from './page.ts'
import type { Ranges } from './ranges.ts'
import type { Database } from './store/database.ts'

/** A device as its organization's people see it. */
export interface Device {
  readonly id: DeviceId
  readonly name: string
  readonly owner: string
  /** The user who answers for it; undefined in records of before there were several to an organization. */
  readonly ownerId: string | undefined
  readonly system: string
  /** Without prefix length; none before it has enrolled. */
  readonly addresses: readonly string[]
  readonly prefixes: readonly Prefix[]
  readonly groups: readonly string[]
  /** Groups that its owner's identity provider gives. */
  readonly claimedGroups: readonly string[]
  readonly roles: readonly Role[]
  /** What it asks for beside these, and nobody has decided yet. */
  readonly requests: DeviceRequest
  readonly metadata: Metadata
  /** Seconds it may be away before it is removed; undefined: for ever. */
  readonly ephemeralAfter: number | undefined
  readonly createdAt: Seconds
  /** When its newest certificate was issued. */
  readonly renewedAt: Seconds
  /** End of its newest certificate; 0 before it has one. */
  readonly notAfter: Seconds
}

export interface Devices {
  list(organization: OrganizationId): Promise<readonly Device[]>
  /** In the order of their ids. Throws a 400 problem for a cursor of another list. */
  page(organization: OrganizationId, page: PageRequest): Promise<Page<Device>>
  get(organization: OrganizationId, device: string): Promise<Device | undefined>
  /** Revokes its certificates in a new manifest. False: there is no such device. */
  remove(organization: OrganizationId, device: string, by: Act): Promise<boolean>
  /** Takes effect at once: a new certificate is issued and told to every device that is connected.
   *  Undefined: there is no such device. Throws Refused (prefix-invalid, metadata-invalid). */
  change(
    organization: OrganizationId,
    device: string,
    change: DeviceChange | ((device: Device) => DeviceChange),
    by: Act,
  ): Promise<Device | undefined>
  /** Says yes or no to what the device asks for; what it does not ask for is passed over.
   *  Undefined: there is no such device. */
  decide(
    organization: OrganizationId,
    device: string,
    decision: { readonly grant: DeviceRequest; readonly deny: DeviceRequest },
    by: Act,
  ): Promise<Device | undefined>
}

export function openDevices({
  database,
  issuing,
}: {
  readonly database: Database
  readonly issuing: Issuing
}): Devices {
  const changing = (...args: ChangingArguments) => changeIn(issuing, ...args)
  return {
    async list(organization) {
      const ranges = await rangesIn(database, organization)
      const found: Device[] = []
      for await (const { id, value } of database.list(DEVICE, { under: `${organization}/` })) {
        found.push(deviceOf(ranges, id.slice(organization.length + 1) as DeviceId, value))
      }
      return found.toSorted((a, b) => (a.name < b.name ? -1 : 1))
    },
    async page(organization, wanted) {
      const ranges = await rangesIn(database, organization)
      const { items, ...next } = await readPage(database, DEVICE, `${organization}/`, wanted)
      const devices = items.map(({ id, value }) =>
        deviceOf(ranges, id.slice(organization.length + 1) as DeviceId, value),
      )
      return { items: devices, ...next }
    },
    async get(organization, text) {
      const id = parseIdOrNothing(text)
      const record = id && (await database.get(DEVICE, deviceRecordId(organization, id)))
      return id && record && deviceOf(await rangesIn(database, organization), id, record)
    },
    async remove(organization, text, by) {
      const id = parseIdOrNothing(text)
      if (id === undefined) return false
      return issuing.change(organization, (change) => removeDevice(change, id, by))
    },
    change: (organization, text, wanted, by) =>
      changing(organization, text, by, (change, id, record) => {
        const asked =
          typeof wanted === 'function' ? wanted(deviceOf(change.ranges(), id, record)) : wanted
        return changeDevice(change, id, record, asked, by)
      }),
    decide: (organization, text, { grant, deny }, by) =>
      changing(organization, text, by, (change, id, record) =>
        decideRequest(change, id, record, { grant: copyOf(grant), deny: copyOf(deny), by }),
      ),
  }
}

type ChangingArguments = readonly [
  organization: OrganizationId,
  text: string,
  by: Act,
  body: (change: OrganizationChange, id: DeviceId, record: DeviceRecord) => Promise<DeviceRecord>,
]

/** Undefined: there is no such device. */
async function changeIn(
  issuing: Issuing,
  ...[organization, text, by, body]: ChangingArguments
): Promise<Device | undefined> {
  const id = parseIdOrNothing(text)
  if (id === undefined) return undefined
  return issuing.change(organization, async (change) => {
    const record = await change.device(id)
    if (record === undefined) return undefined
    const changed = await body(change, id, record)
    await audit(change.transaction, organization, by, {
      ...{ action: 'device.changed', subject: id },
      ...difference(sayOf(record), sayOf(changed)),
    })
    return deviceOf(change.ranges(), id, changed)
  })
}

/** What people have a say in, for the audit log. */
function sayOf({ name, owner, prefixes, groups, roles, denied, metadata }: DeviceRecord) {
  return { name, owner, prefixes, groups, roles, denied, metadata }
}

function copyOf({ prefixes, roles }: DeviceRequest) {
  return { prefixes: [...prefixes], roles: [...roles] }
}

/** Ranges never change; those of an organization that is gone do not matter. */
async function rangesIn(database: Database, organization: OrganizationId): Promise<Ranges> {
  return rangesOf(organization, (await database.get(HEAD, organization)) ?? {})
}

/** Whoever asks for an id that cannot be gets the same answer as for one that is not there. */
function parseIdOrNothing(text: string): DeviceId | undefined {
  try {
    return parseDeviceId(text)
  } catch {
    return undefined
  }
}

export function deviceOf(ranges: Ranges, id: DeviceId, record: DeviceRecord): Device {
  const { name, owner, ownerId, system, groups, claimedGroups = [], roles, number } = record
  const { metadata = {}, ephemeralAfter } = record
  const prefixes = record.prefixes.map(parsePrefix)
  const open = openRequestOf(record)
  const addresses = number === undefined ? [] : addressesOf(ranges, number).map(prefixAddress)
  return {
    ...{ id, name, owner, ownerId, system, addresses, prefixes, groups, claimedGroups, roles },
    requests: { prefixes: open.prefixes.map(parsePrefix), roles: open.roles },
    ...{ metadata, ephemeralAfter },
    createdAt: seconds(record.createdAt),
    renewedAt: seconds(record.renewedAt),
    notAfter: seconds(record.issued.at(-1)?.notAfter ?? 0),
  }
}
