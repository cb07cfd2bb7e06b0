/** Removal of devices: their certificates are revoked in one manifest, and what was theirs is free again. */
import type { DeviceId } from '../protocol/keys.ts'
import type { Revocation } from '../protocol/manifest.ts'
import { seconds } from '../protocol/time.ts'
import type { Act } from './act.ts'
import { release } from './addresses.ts'
import { audit } from './audit.ts'
import {
  DEVICE,
  type DeviceRecord,
  deviceRecordId,
  freeName,
  freeWireguardKey,
  REMOVED_DEVICE,
  SEEN,
  STATEMENT,
  statementId,
} from './device-record.ts'
import type { OrganizationChange } from './organization-change.ts'
import { mostRevocations } from './revocation-room.ts'

/** False: there is no such device. */
export async function removeDevice(
  change: OrganizationChange,
  id: DeviceId,
  by: Act,
): Promise<boolean> {
  return (await removeDevices(change, [id], by)) === 1
}

/** How many of them there were. Throws Refused (revocations-full). */
export async function removeDevices(
  change: OrganizationChange,
  ids: readonly DeviceId[],
  by: Act,
): Promise<number> {
  const revoked: Revocation[] = []
  const removed: [DeviceId, DeviceRecord][] = []
  for (const id of ids) {
    const record = await change.device(id)
    if (record === undefined) continue
    removed.push([id, record])
    revoked.push(...(await forget(change, id, record)))
  }
  if (revoked.length > 0) await change.publishManifest(revoked, await mostRevocations(change, by))
  for (const [subject, { name, owner }] of removed) {
    await audit(change.transaction, change.organization, by, {
      ...{ action: 'device.removed', subject },
      before: { name, owner },
    })
  }
  return removed.length
}

/** Its certificates that have not ended. */
export function aliveOf({ now }: OrganizationChange, { issued }: DeviceRecord): Revocation[] {
  return issued
    .filter(({ notAfter }) => notAfter > now)
    .map(({ serial, notAfter }) => ({ serial, notAfter: seconds(notAfter) }))
}

/** Takes the device out of the records; what of it must be revoked. */
async function forget(
  change: OrganizationChange,
  id: DeviceId,
  record: DeviceRecord,
): Promise<readonly Revocation[]> {
  const { organization, transaction, now } = change
  const alive = aliveOf(change, record)
  transaction.delete(DEVICE, deviceRecordId(organization, id))
  transaction.delete(SEEN, deviceRecordId(organization, id))
  const said = { under: statementId(organization, id, '') }
  for (const statement of await transaction.list(STATEMENT, said)) {
    transaction.delete(STATEMENT, statement.id)
  }
  transaction.put(REMOVED_DEVICE, deviceRecordId(organization, id), { removedAt: now })
  freeName(transaction, organization, record.name)
  freeWireguardKey(transaction, organization, record.wireguardKey)
  if (record.number !== undefined) {
    const last = Math.max(now, ...alive.map(({ notAfter }) => notAfter))
    release(transaction, organization, record.number, seconds(last))
  }
  return alive
}
