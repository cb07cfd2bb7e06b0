/** Devices of an organization, as its people see and change them. */
import { type Prefix, parsePrefix, prefixAddress, prefixContains } from '../protocol/address.ts'
import { type DeviceId, type OrganizationId, parseDeviceId } from '../protocol/keys.ts'
import { PREFIXES } from '../protocol/limits.ts'
import type { Role } from '../protocol/membership-certificate.ts'
import { type Seconds, seconds } from '../protocol/time.ts'
import type { Act } from './act.ts'
import { addressesOf, rangesOf, release } from './addresses.ts'
import { audit, difference } from './audit.ts'
import {
  claimName,
  DEVICE,
  type DeviceRecord,
  deviceRecordId,
  freeName,
  freeWireguardKey,
  REMOVED_DEVICE,
  STATEMENT,
  statementId,
} from './device-record.ts'
import type { Issuing } from './issuing.ts'
import { CERTIFICATES_AT_ONCE, type OrganizationChange } from './organization-change.ts'
import { type Page, type PageRequest, readPage } from './page.ts'
import { Refused } from './refusal.ts'
import type { Database } from './store/database.ts'

/** A device as its organization's people see it. */
export interface Device {
  readonly id: DeviceId
  readonly name: string
  readonly owner: string
  readonly system: string
  /** Without prefix length; none before it has enrolled. */
  readonly addresses: readonly string[]
  readonly prefixes: readonly Prefix[]
  readonly groups: readonly string[]
  readonly roles: readonly Role[]
  readonly createdAt: Seconds
  /** When its newest certificate was issued. */
  readonly renewedAt: Seconds
  /** End of its newest certificate; 0 before it has one. */
  readonly notAfter: Seconds
}

/** What people may change. Absent: stays as it is. */
export interface DeviceChange {
  readonly name?: string | undefined
  readonly prefixes?: readonly Prefix[] | undefined
  readonly groups?: readonly string[] | undefined
  readonly roles?: readonly Role[] | undefined
}

export interface Devices {
  list(organization: OrganizationId): Promise<readonly Device[]>
  /** In the order of their ids. Throws a 400 problem for a cursor of another list. */
  page(organization: OrganizationId, page: PageRequest): Promise<Page<Device>>
  get(organization: OrganizationId, device: string): Promise<Device | undefined>
  /** Revokes its certificates in a new manifest. False: there is no such device. */
  remove(organization: OrganizationId, device: string, by: Act): Promise<boolean>
  /** Takes effect at once: a new certificate is issued and told to every device that is connected.
   *  Undefined: there is no such device. Throws Refused (prefix-invalid). */
  change(
    organization: OrganizationId,
    device: string,
    change: DeviceChange | ((device: Device) => DeviceChange),
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
  return {
    async list(organization) {
      const found: Device[] = []
      for await (const { id, value } of database.list(DEVICE, { under: `${organization}/` })) {
        found.push(deviceOf(organization, id.slice(organization.length + 1) as DeviceId, value))
      }
      return found.toSorted((a, b) => (a.name < b.name ? -1 : 1))
    },
    async page(organization, wanted) {
      const { items, ...next } = await readPage(database, DEVICE, `${organization}/`, wanted)
      const idIn = (id: string) => id.slice(organization.length + 1) as DeviceId
      return {
        items: items.map(({ id, value }) => deviceOf(organization, idIn(id), value)),
        ...next,
      }
    },
    async get(organization, text) {
      const id = parseIdOrNothing(text)
      const record = id && (await database.get(DEVICE, deviceRecordId(organization, id)))
      return id && record && deviceOf(organization, id, record)
    },
    async remove(organization, text, by) {
      const id = parseIdOrNothing(text)
      return (
        id !== undefined && issuing.change(organization, (change) => removeDevice(change, id, by))
      )
    },
    async change(organization, text, wanted, by) {
      const id = parseIdOrNothing(text)
      if (id === undefined) return undefined
      return issuing.change(organization, async (change) => {
        const record = await change.device(id)
        if (record === undefined) return undefined
        const asked =
          typeof wanted === 'function' ? wanted(deviceOf(organization, id, record)) : wanted
        const changed = await changeDevice(change, id, record, asked)
        await audit(change.transaction, organization, by, {
          ...{ action: 'device.changed', subject: id },
          ...difference(grantsOf(record), grantsOf(changed)),
        })
        return deviceOf(organization, id, changed)
      })
    },
  }
}

/** Whoever asks for an id that cannot be gets the same answer as for one that is not there. */
function parseIdOrNothing(text: string): DeviceId | undefined {
  try {
    return parseDeviceId(text)
  } catch {
    return undefined
  }
}

function deviceOf(organization: OrganizationId, id: DeviceId, record: DeviceRecord): Device {
  const { name, owner, system, groups, roles, number } = record
  const prefixes = record.prefixes.map(parsePrefix)
  const addresses = number === undefined ? [] : addressesOf(organization, number).map(prefixAddress)
  return {
    ...{ id, name, owner, system, addresses, prefixes, groups, roles },
    createdAt: seconds(record.createdAt),
    renewedAt: seconds(record.renewedAt),
    notAfter: seconds(record.issued.at(-1)?.notAfter ?? 0),
  }
}

/** What people change of a device, for the audit log. */
function grantsOf({ name, prefixes, groups, roles }: DeviceRecord) {
  return { name, prefixes, groups, roles }
}

/** Inside a change. False: there is no such device. */
export async function removeDevice(
  change: OrganizationChange,
  id: DeviceId,
  by: Act,
): Promise<boolean> {
  const record = await change.device(id)
  if (record === undefined) return false
  const { organization, transaction, now } = change
  const alive = record.issued.filter(({ notAfter }) => notAfter > now)
  transaction.delete(DEVICE, deviceRecordId(organization, id))
  for (const said of await transaction.list(STATEMENT, {
    under: statementId(organization, id, ''),
  })) {
    transaction.delete(STATEMENT, said.id)
  }
  transaction.put(REMOVED_DEVICE, deviceRecordId(organization, id), { removedAt: now })
  freeName(transaction, organization, record.name)
  freeWireguardKey(transaction, organization, record.wireguardKey)
  if (record.number !== undefined) {
    const last = Math.max(now, ...alive.map(({ notAfter }) => notAfter))
    release(transaction, organization, record.number, seconds(last))
  }
  if (alive.length > 0) {
    await change.publishManifest(
      alive.map(({ serial, notAfter }) => ({ serial, notAfter: seconds(notAfter) })),
    )
  }
  const { name, owner } = record
  await audit(transaction, organization, by, {
    ...{ action: 'device.removed', subject: id },
    before: { name, owner },
  })
  return true
}

async function changeDevice(
  change: OrganizationChange,
  id: DeviceId,
  record: DeviceRecord,
  wanted: DeviceChange,
): Promise<DeviceRecord> {
  const { prefixes } = wanted
  if (prefixes !== undefined) checkPrefixes(change.organization, prefixes)
  const changed: DeviceRecord = {
    ...record,
    name: await renamed(change, id, record, wanted.name),
    prefixes: prefixes === undefined ? record.prefixes : [...new Set(prefixes)],
    groups: [...(wanted.groups ?? record.groups)],
    roles: [...(wanted.roles ?? record.roles)],
  }
  const { number } = changed
  if (number !== undefined && changed.certificate !== undefined) {
    const issued = await withRoom(change, record)
    return change.certify(id, { ...changed, number, issued })
  }
  change.putDevice(id, changed)
  return changed
}

/** People may change a device more often than it may renew: what the newest has outdone is revoked. */
async function withRoom(
  change: OrganizationChange,
  { issued }: DeviceRecord,
): Promise<DeviceRecord['issued']> {
  const alive = issued.filter(({ notAfter }) => notAfter > change.now)
  if (alive.length < CERTIFICATES_AT_ONCE) return alive
  const outdone = alive.slice(0, -1)
  await change.publishManifest(
    outdone.map(({ serial, notAfter }) => ({ serial, notAfter: seconds(notAfter) })),
  )
  return alive.slice(-1)
}

async function renamed(
  change: OrganizationChange,
  id: DeviceId,
  record: DeviceRecord,
  wanted: string | undefined,
): Promise<string> {
  if (wanted === undefined || wanted === record.name) return record.name
  freeName(change.transaction, change.organization, record.name)
  return claimName(change.transaction, change.organization, id, wanted)
}

/** Throws Refused (prefix-invalid): a prefix inside the organization's own ranges would let the device
 *  take the address of another. */
function checkPrefixes(organization: OrganizationId, prefixes: readonly Prefix[]): void {
  const refuse = (detail: string) => new Refused('prefix-invalid', detail, { field: 'prefixes' })
  if (prefixes.length > PREFIXES) {
    throw refuse(`${prefixes.length} prefixes: a device may advertise at most ${PREFIXES}`)
  }
  for (const prefix of prefixes) {
    const range = rangesOf(organization).find((each) => prefixContains(each, prefix))
    if (range !== undefined) {
      throw refuse(
        `prefix ${prefix} lies in ${range}, where the organization's devices have their addresses`,
      )
    }
  }
}
