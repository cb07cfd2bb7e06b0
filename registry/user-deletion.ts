/** Deleting one's own user: out of every organization, then no session, no token and no account any more. What the
 *  audit logs say of them stays. */
import type { OrganizationId } from '../protocol/keys.ts'
import type { Log } from '../protocol/log.ts'
import { type Act, userOf } from './act.ts'
import type { ApiTokens } from './api-tokens.ts'
import { audit } from './audit.ts'
import { DEVICE } from './device-record.ts'
import type { Accounts } from './identity/accounts.ts'
import type { Sessions } from './identity/sessions.ts'
import type { Issuing } from './issuing.ts'
import { type DevicesOfLeaver, removeMember } from './members.ts'
import type { OrganizationChange } from './organization-change.ts'
import { deleteIn } from './organization-lifecycle.ts'
import { members, memberships, membershipsOf, type UserId, users } from './organizations.ts'
import { ProblemError } from './problem.ts'
import { Refused } from './refusal.ts'
import type { Database, Transaction } from './store/database.ts'

/** What becomes of their devices: revoked, or given to the owner of each organization who has been a member for longest. */
export const DEVICES_OF_DELETED = ['revoke', 'transfer'] as const
export type DevicesOfDeleted = (typeof DEVICES_OF_DELETED)[number]

export interface UserDeletionParts {
  readonly database: Database
  readonly log: Log
  readonly issuing: Pick<Issuing, 'change'>
  readonly tokens: Pick<ApiTokens, 'page' | 'revoke'>
  readonly identity: {
    readonly sessions: Pick<Sessions, 'endAll'>
    readonly accounts?: Pick<Accounts, 'checkRemovable' | 'removeIn'>
  }
}

/** An organization that would be left without an owner. */
export interface Obstacle {
  readonly name: string
  readonly members: number
  readonly devices: number
}

export interface UserDeletion {
  /** Organizations whose last owner the user is, with others or devices in them. */
  obstacles(user: UserId): Promise<readonly Obstacle[]>
  /** Of the user who acts. Organizations that they have for themselves, without a device, are deleted with them. What
   *  was interrupted or refused may be asked for again. Throws Refused (last-owner, last-admin), before anything is
   *  changed where nobody joins or leaves meanwhile, or a 409 problem to who has joined an organization meanwhile. */
  delete(devices: DevicesOfDeleted, by: Act): Promise<void>
}

export function openUserDeletion(parts: UserDeletionParts): UserDeletion {
  const { database } = parts
  return {
    obstacles: (user) => obstaclesOf(database, user),
    delete: (devices, by) => deleteUser(parts, devices, by),
  }
}

async function obstaclesOf(database: Database, user: UserId): Promise<readonly Obstacle[]> {
  const found: Obstacle[] = []
  for (const { organization, role } of await membershipsOf(database, user)) {
    if (role !== 'owner') continue
    let [others, owners] = [0, 0]
    for await (const { id, value } of database.list(members, { under: `${organization.id}/` })) {
      if (id.endsWith(`/${user}`)) continue
      others += 1
      if (value.role === 'owner') owners += 1
    }
    if (owners > 0) continue
    let devices = 0
    for await (const _ of database.list(DEVICE, { under: `${organization.id}/` })) devices += 1
    if (others + devices > 0) found.push({ name: organization.name, members: others, devices })
  }
  return found
}

async function deleteUser(
  parts: UserDeletionParts,
  devices: DevicesOfDeleted,
  by: Act,
): Promise<void> {
  const { database, log, issuing, tokens, identity } = parts
  const user = userOf(by)
  const subject = (await database.get(users, user))?.subject ?? ''
  await identity.accounts?.checkRemovable(subject)
  const obstacles = await obstaclesOf(database, user)
  if (obstacles.length > 0) throw lastOwner(obstacles)
  const left = await membershipsOf(database, user)
  for (const { organization } of left) {
    await issuing.change(organization.id, (change) => leave(change, user, devices, by))
  }
  for (let isMore = true; isMore; ) {
    const { items, next } = await tokens.page(user, { limit: 100 })
    for (const { id } of items) await tokens.revoke(user, id, by)
    isMore = next !== undefined
  }
  const isForgotten = await database.transact(`user/${user}`, async (transaction) => {
    if (!(await forget(transaction, user, by, left.length))) return false
    await identity.accounts?.removeIn(transaction, subject)
    return true
  })
  if (isForgotten) log('info', 'user.deleted', { user, organizations: left.length })
  await identity.sessions.endAll(user)
}

/** `Acme (2 other members, 1 device), Lab (3 devices)`. */
export function obstacleText(obstacles: readonly Obstacle[]): string {
  const counted = (count: number, one: string): string[] =>
    count === 0 ? [] : [`${count} ${one}${count === 1 ? '' : 's'}`]
  return obstacles
    .map(({ name, members: others, devices }) => {
      const what = [...counted(others, 'other member'), ...counted(devices, 'device')]
      return `${name} (${what.join(', ')})`
    })
    .join(', ')
}

function lastOwner(obstacles: readonly Obstacle[]): Refused {
  return new Refused(
    'last-owner',
    `you are the last owner of ${obstacleText(obstacles)}: make another member an owner, or delete it, first`,
  )
}

/** Whoever is alone takes the organization along. */
async function leave(
  change: OrganizationChange,
  user: UserId,
  devices: DevicesOfDeleted,
  by: Act,
): Promise<void> {
  const { transaction, organization } = change
  const all = await transaction.list(members, { under: `${organization}/` })
  const others = all.filter(({ id }) => !id.endsWith(`/${user}`))
  // Who left meanwhile has nothing to leave any more.
  if (others.length === all.length) return
  if (others.length === 0) return deleteIn(change, false, by)
  const owner = others
    .filter(({ value }) => value.role === 'owner')
    .toSorted((a, b) => a.value.since - b.value.since)[0]
  const become: DevicesOfLeaver =
    devices === 'transfer' && owner !== undefined
      ? { transferTo: userIn(owner.id, organization) }
      : 'revoke'
  await removeMember(change, by, user, become)
}

function userIn(id: string, organization: OrganizationId): string {
  return id.slice(organization.length + 1)
}

/** Whether there was such a user. Reads and deletes the record that whoever joins or founds an organization reads
 *  and writes: of a deletion and one of those at once one must retry. Throws a 409 problem (user-busy). */
async function forget(
  transaction: Transaction,
  user: UserId,
  by: Act,
  organizations: number,
): Promise<boolean> {
  if ((await transaction.get(users, user)) === undefined) return false
  if ((await transaction.list(memberships, { under: `${user}/` })).length > 0) {
    throw new ProblemError(409, 'user-busy', 'you joined an organization meanwhile: try again')
  }
  transaction.delete(users, user)
  await audit(transaction, user, by, {
    ...{ action: 'user.deleted', subject: user, before: { organizations } },
  })
  return true
}
