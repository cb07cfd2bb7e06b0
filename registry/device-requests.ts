/** What a device asks to advertise and to be, and what an admin says to it. */
import type { Prefix } from '../protocol/address.ts'
import type { DeviceId } from '../protocol/keys.ts'
import type { Role } from '../protocol/membership-certificate.ts'
import type { Act } from './act.ts'
import { checkPrefixes, putChanged, union, within } from './device-change.ts'
import type { Asked, DeviceRecord } from './device-record.ts'
import type { OrganizationChange } from './organization-change.ts'

/** Of a device. */
export interface DeviceRequest {
  readonly prefixes: readonly Prefix[]
  readonly roles: readonly Role[]
}

const NOTHING: Asked = { prefixes: [], roles: [] }

/** The record of a device that says what it wants: undefined from one that does not speak of it. Nothing is
 *  granted by it. Throws Refused (prefix-invalid). */
export function withRequest(
  change: OrganizationChange,
  record: DeviceRecord,
  request: DeviceRequest | undefined,
): DeviceRecord {
  if (request === undefined) return record
  checkPrefixes(change.ranges(), request.prefixes)
  const asked = union(NOTHING, { prefixes: [...request.prefixes], roles: [...request.roles] })
  return { ...record, asked, denied: within(asked, record.denied ?? NOTHING, record) }
}

/** What waits for an admin's word. */
export function openRequestOf(record: DeviceRecord): Asked {
  const { asked = NOTHING, denied = NOTHING } = record
  const open = within(asked, asked, record)
  return {
    prefixes: open.prefixes.filter((each) => !denied.prefixes.includes(each)),
    roles: open.roles.filter((each) => !denied.roles.includes(each)),
  }
}

/** Grants or denies what of these is asked for; the rest waits on. Throws Refused (prefix-invalid). */
export async function decideRequest(
  change: OrganizationChange,
  id: DeviceId,
  record: DeviceRecord,
  decision: { readonly grant: Asked; readonly deny: Asked; readonly by: Act },
): Promise<DeviceRecord> {
  const open = openRequestOf(record)
  const grant = common(open, decision.grant)
  const granted = union({ prefixes: record.prefixes, roles: record.roles }, grant)
  checkPrefixes(change.ranges(), granted.prefixes as Prefix[]) // from a record, and from what was asked
  const denied = union(record.denied ?? NOTHING, common(open, decision.deny))
  const after = { ...record, ...granted, denied: within(record.asked ?? NOTHING, denied, granted) }
  return putChanged(change, id, { before: record, after, by: decision.by })
}

function common(a: Asked, b: Asked): Asked {
  return {
    prefixes: a.prefixes.filter((each) => b.prefixes.includes(each)),
    roles: a.roles.filter((each) => b.roles.includes(each)),
  }
}
