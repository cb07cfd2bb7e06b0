/** Members: the users of an organization, their roles, and what becomes of their devices when they go. */
import type { DeviceId, OrganizationId } from '../protocol/keys.ts'
import type { Seconds } from '../protocol/time.ts'
import type { Act } from './act.ts'
import { audit, difference } from './audit.ts'
import { giveDevice } from './device-change.ts'
import { DEVICE } from './device-record.ts'
import { removeDevices } from './device-removal.ts'
import type { Issuing } from './issuing.ts'
import type { OrganizationChange } from './organization-change.ts'
import {
  deleteMember,
  displayNameOf,
  members,
  ownerNameOf,
  putMember,
  roleOf,
  type UserId,
  users,
} from './organizations.ts'
import { type Page, type PageRequest, readPage } from './page.ts'
import { isRecordId } from './record-id.ts'
import { Refused } from './refusal.ts'
import { giveRegistrationKeys, revokeRegistrationKeysOf } from './registration-keys.ts'
import { type MemberRole, requireMayGive } from './roles.ts'
import type { Database } from './store/database.ts'

/** Members of one organization. */
export const MEMBERS = 5000

export interface Member {
  readonly user: UserId
  /** E-mail address, else name. */
  readonly name: string
  readonly role: MemberRole
  readonly since: Seconds
  /** Undefined where it was before sign-ins were kept. */
  readonly signedInAt: Seconds | undefined
}

/** What becomes of the devices of a member who goes. `keep`: they stay until their certificates end, and
 *  renew again only if another member is given them. */
export type DevicesOfLeaver = 'keep' | 'revoke' | { readonly transferTo: string }

export interface Members {
  /** In the order of their ids. Throws a 400 problem for a cursor of another list. */
  page(organization: OrganizationId, page: PageRequest): Promise<Page<Member>>
  /** By name. */
  list(organization: OrganizationId): Promise<readonly Member[]>
  /** Throws Refused (role-needed, member-unknown, last-owner). */
  setRole(organization: OrganizationId, by: Act, user: string, role: MemberRole): Promise<void>
  /** Who goes by themselves needs no role. Throws Refused (role-needed, member-unknown, last-owner). */
  remove(
    organization: OrganizationId,
    by: Act,
    user: string,
    devices: DevicesOfLeaver,
  ): Promise<void>
}

export function openMembers({
  database,
  issuing,
}: {
  readonly database: Database
  readonly issuing: Issuing
}): Members {
  return {
    list: (organization) => listMembers(database, organization),
    page: (organization, page) => pageOfMembers(database, organization, page),
    setRole: (organization, by, user, role) =>
      issuing.change(organization, (change) => setRole(change, by, user, role)),
    remove: (organization, by, user, devices) =>
      issuing.change(organization, (change) => removeMember(change, by, user, devices)),
  }
}

async function listMembers(
  database: Database,
  organization: OrganizationId,
): Promise<readonly Member[]> {
  const found: Member[] = []
  for await (const { id, value } of database.list(members, { under: `${organization}/` })) {
    found.push(await memberAt(database, id, value))
  }
  return found.toSorted((a, b) => a.name.localeCompare(b.name))
}

async function pageOfMembers(
  database: Database,
  organization: OrganizationId,
  page: PageRequest,
): Promise<Page<Member>> {
  const { items, ...next } = await readPage(database, members, `${organization}/`, page)
  const found = items.map(({ id, value }) => memberAt(database, id, value))
  return { items: await Promise.all(found), ...next }
}

async function memberAt(
  database: Database,
  id: string,
  value: { readonly role: MemberRole; readonly since: Seconds },
): Promise<Member> {
  const user = id.slice(id.indexOf('/') + 1) as UserId // as putMember wrote it
  const record = await database.get(users, user)
  const name = displayNameOf(record, user)
  return { user, name, ...value, signedInAt: record?.signedInAt }
}

/** What a device says of its owner, who must be a member. Throws Refused (member-unknown). */
export async function ownerFor(
  database: Database,
  organization: OrganizationId,
  user: string,
): Promise<{ owner: string; ownerId: string }> {
  const member = isRecordId(user) && (await database.get(members, `${organization}/${user}`))
  if (!member) {
    throw new Refused('member-unknown', 'the organization has no such member', { field: 'ownerId' })
  }
  return { owner: ownerNameOf(await database.get(users, user), user), ownerId: user }
}

async function setRole(
  change: OrganizationChange,
  by: Act,
  user: string,
  role: MemberRole,
): Promise<void> {
  const { transaction, organization } = change
  const own = await roleOf(transaction, organization, by)
  const member = await memberOf(change, user)
  requireMayGive(own, member.role)
  requireMayGive(own, role)
  if (member.role === 'owner' && role !== 'owner') await checkAnotherOwner(change, user)
  putMember(transaction, organization, user as UserId, { ...member, role })
  await audit(transaction, organization, by, {
    ...{ action: 'member.role-changed', subject: user },
    ...difference({ role: member.role }, { role }),
  })
}

/** Who goes by themselves needs no role. Throws Refused (role-needed, member-unknown, last-owner). */
export async function removeMember(
  change: OrganizationChange,
  by: Act,
  user: string,
  devices: DevicesOfLeaver,
): Promise<void> {
  const { transaction, organization } = change
  const own = await roleOf(transaction, organization, by)
  const { role } = await memberOf(change, user)
  if (by.who.kind !== 'user' || by.who.user !== user) requireMayGive(own, role)
  if (role === 'owner') await checkAnotherOwner(change, user)
  if (typeof devices === 'object') await transfer(change, user, devices.transferTo, by)
  else {
    await revokeRegistrationKeysOf(change, user)
    if (devices === 'revoke') await removeDevices(change, await devicesOf(change, user), by)
  }
  deleteMember(transaction, organization, user as UserId)
  await audit(transaction, organization, by, {
    ...{ action: 'member.removed', subject: user },
    before: { role, devices },
  })
}

/** Throws Refused (member-unknown). */
async function memberOf({ transaction, organization }: OrganizationChange, user: string) {
  const member = isRecordId(user) && (await transaction.get(members, `${organization}/${user}`))
  if (member) return member
  throw new Refused('member-unknown', 'the organization has no such member')
}

/** Throws Refused (last-owner). The change writes the head: of two owners who go at once one must retry. */
async function checkAnotherOwner(
  { transaction, organization }: OrganizationChange,
  user: string,
): Promise<void> {
  const all = await transaction.list(members, { under: `${organization}/` })
  const others = all.filter(({ id, value }) => !id.endsWith(`/${user}`) && value.role === 'owner')
  if (others.length > 0) return
  throw new Refused(
    'last-owner',
    'the organization would have no owner (make another member an owner first, or delete it)',
  )
}

async function transfer(
  change: OrganizationChange,
  from: string,
  to: string,
  by: Act,
): Promise<void> {
  if (from === to) {
    throw new Refused('member-unknown', 'devices go to a member who stays', { field: 'transferTo' })
  }
  await memberOf(change, to)
  const owner = ownerNameOf(await change.transaction.get(users, to), to)
  for (const device of await devicesOf(change, from)) {
    await giveDevice(change, device, { owner, ownerId: to }, by)
  }
  await giveRegistrationKeys(change, from, to)
}

/** Devices that the user answers for. */
export async function devicesOf(
  { transaction, organization }: OrganizationChange,
  user: string,
): Promise<readonly DeviceId[]> {
  const all = await transaction.list(DEVICE, { under: `${organization}/` })
  return all
    .filter(({ value }) => value.ownerId === user)
    .map(({ id }) => id.slice(organization.length + 1) as DeviceId) // as putDevice wrote it
}
