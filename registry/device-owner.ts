/** What a device has of its owner: the leave to renew, their name, and the groups that the identity provider gives them. */
import type { DeviceRecord } from './device-record.ts'
import type { OrganizationChange } from './organization-change.ts'
import { members, ownerNameOf, users } from './organizations.ts'
import { Refused } from './refusal.ts'

/** Nobody else need be there for a renewal, but the owner must still belong, and must have signed in not too
 *  long ago where the organization asks that. Throws Refused (owner-removed, sign-in-needed). */
export async function checkOwner(
  change: OrganizationChange,
  record: DeviceRecord,
  publicUrl: string,
): Promise<void> {
  const { transaction, organization, now } = change
  const { owner, ownerId, vouchedAt } = record
  if (ownerId === undefined) return
  if ((await transaction.get(members, `${organization}/${ownerId}`)) === undefined) {
    throw new Refused(
      'owner-removed',
      `${owner}, who brought the device in, is no member of the organization any more (an admin can give it to another member, or run nexd up to have it approved anew)`,
    )
  }
  const { reauthenticateAfter } = change.head.settings
  if (reauthenticateAfter === undefined || vouchedAt === undefined) return
  const signedInAt = (await transaction.get(users, ownerId))?.signedInAt ?? 0
  if (Math.max(vouchedAt, signedInAt) + reauthenticateAfter > now) return
  throw new Refused(
    'sign-in-needed',
    `${owner} must sign in again at ${publicUrl}: the organization asks that of the owners of its devices every ${days(reauthenticateAfter)}`,
  )
}

function days(seconds: number): string {
  const hours = Math.round(seconds / 3600)
  if (hours < 48) return `${hours} hours`
  return `${Math.round(hours / 24)} days`
}

/** The record with what its owner's sign-in last proved: their name, and the groups it gave. */
export async function withOwner(
  { transaction }: OrganizationChange,
  record: DeviceRecord,
): Promise<DeviceRecord> {
  const { claimedGroups: _, ...rest } = record
  const { ownerId } = record
  const user = ownerId === undefined ? undefined : await transaction.get(users, ownerId)
  if (ownerId === undefined || user === undefined) return rest
  const { groups = [] } = user
  const owner = ownerNameOf(user, ownerId)
  return { ...rest, owner, ...(groups.length > 0 && { claimedGroups: groups }) }
}
