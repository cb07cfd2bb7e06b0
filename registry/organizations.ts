/** Users, organizations, and who belongs to which. */
import { z } from 'zod'
import { type Brand, toBase32, utf8 } from '../crypto/bytes.ts'
import { sha256 } from '../crypto/hash.ts'
import { type OrganizationId, parseOrganizationId } from '../protocol/keys.ts'
import { type Seconds, seconds } from '../protocol/time.ts'
import type { Act } from './act.ts'
import { audit } from './audit.ts'
import type { RegistryContext } from './context.ts'
import { ProblemError } from './problem.ts'
import type { WantedRanges } from './ranges.ts'
import { MEMBER_ROLES, type MemberRole } from './roles.ts'
import { collection } from './store/collection.ts'
import type { Database, Transaction } from './store/database.ts'

/** 26 characters: base32 of 16 bytes of the hash of (issuer, subject). */
export type UserId = Brand<string, 'UserId'>

const moment = z.number().int().nonnegative() as unknown as z.ZodType<Seconds>
const organizationId = z.string().length(26) as unknown as z.ZodType<OrganizationId>

const userSchema = z.object({
  issuer: z.string(),
  subject: z.string(),
  email: z.string().optional(),
  /** The identity provider vouches for `email`. */
  emailVerified: z.boolean().optional(),
  /** Security groups that the identity provider's claims give the user's devices. */
  groups: z.array(z.string()).optional(),
  /** The e-mail's local part, else the subject. */
  name: z.string(),
  createdAt: moment,
  /** The last sign-in; absent in records of before it was kept. */
  signedInAt: moment.optional(),
})
const organizationSchema = z.object({ id: organizationId, name: z.string(), createdAt: moment })
const memberSchema = z.object({ role: z.enum(MEMBER_ROLES), since: moment })

export type User = z.infer<typeof userSchema>
export type Organization = z.infer<typeof organizationSchema>

/** By UserId. */
export const users = collection('user', userSchema)
/** By OrganizationId. */
export const organizations = collection('organization', organizationSchema)
/** By `<OrganizationId>/<UserId>`. */
export const members = collection('organization-member', memberSchema)
/** By `<UserId>/<OrganizationId>`: the same fact, for finding a user's organizations. */
export const memberships = collection('user-organization', memberSchema)

/** What a sign-in proved. `issuer` names the identity provider for ever, whatever its address. */
export interface SignIn {
  readonly issuer: string
  readonly subject: string
  readonly email?: string
  readonly emailVerified?: boolean
  /** Security groups for the user's devices. */
  readonly groups?: readonly string[]
}

/** Makes a new organization with its keys; `also` adds records in the transaction that records it,
 *  and may run more than once. */
export type FoundOrganization = (
  name: string,
  also: (transaction: Transaction, organization: OrganizationId) => Promise<void>,
  ranges?: WantedRanges,
) => Promise<OrganizationId>

/** An organization as one of its members sees it. */
export interface Membership {
  readonly organization: Organization
  readonly role: MemberRole
}

export function userIdOf({ issuer, subject }: Pick<SignIn, 'issuer' | 'subject'>): UserId {
  const named = utf8(JSON.stringify([issuer, subject]))
  return toBase32(sha256(named).subarray(0, 16)) as UserId
}

/** Records the user at each sign-in, and gives them an organization of their own where they are in none. */
export async function welcome(
  { database, clock }: Pick<RegistryContext, 'database' | 'clock'>,
  signIn: SignIn,
  found: FoundOrganization,
  from?: string,
): Promise<UserId> {
  const id = userIdOf(signIn)
  const now = clock.now()
  const name = nameOf(signIn)
  const { groups = [], ...proved } = signIn
  const who = { kind: 'user', user: id, name: signIn.email ?? name } as const
  const act = { who, at: now, ...(from !== undefined && { from }) }
  await database.transact(`user/${id}`, async (transaction) => {
    // Sessions and tokens count from then on: never from a moment that the clock has not come to.
    const createdAt = seconds(Math.min((await transaction.get(users, id))?.createdAt ?? now, now))
    const record = { ...proved, groups: [...groups], name, createdAt, signedInAt: now }
    transaction.put(users, id, record)
  })
  if ((await organizationsOf(database, id)).length > 0) return id
  try {
    await found(name, async (transaction, organization) => {
      await assertFirst(transaction, id)
      transaction.put(organizations, organization, { id: organization, name, createdAt: now })
      putMember(transaction, organization, id, { role: 'owner', since: now })
      await audit(transaction, organization, act, {
        ...{ action: 'organization.founded', subject: organization },
        after: { name },
      })
    })
  } catch (error) {
    if (!(error instanceof FoundedMeanwhile)) throw error
  }
  return id
}

/** Two first sign-ins of one user at once: the later one's organization is not made. */
class FoundedMeanwhile extends Error {}

/** Throws FoundedMeanwhile, or as `requireUser`: of two founders one must retry. */
async function assertFirst(transaction: Transaction, id: UserId): Promise<void> {
  await requireUser(transaction, id)
  if ((await transaction.list(memberships, { under: `${id}/` })).length > 0) {
    throw new FoundedMeanwhile()
  }
}

/** Reads and writes the user: whoever becomes a member beside a deletion of the user, or another change of theirs
 *  that calls it, must retry. Throws a 401 problem (signed-out) when the user is gone. */
export async function requireUser(transaction: Transaction, id: UserId): Promise<User> {
  const user = await transaction.get(users, id)
  if (user === undefined) {
    throw new ProblemError(401, 'signed-out', 'your user was deleted: sign in again')
  }
  transaction.put(users, id, user)
  return user
}

export function putMember(
  transaction: Transaction,
  organization: OrganizationId,
  user: UserId,
  member: { readonly role: MemberRole; readonly since: Seconds },
): void {
  transaction.put(members, `${organization}/${user}`, member)
  transaction.put(memberships, `${user}/${organization}`, member)
}

export function deleteMember(
  transaction: Transaction,
  organization: OrganizationId,
  user: UserId,
): void {
  transaction.delete(members, `${organization}/${user}`)
  transaction.delete(memberships, `${user}/${organization}`)
}

/** By name. */
export async function membershipsOf(
  database: Database,
  user: UserId,
): Promise<readonly Membership[]> {
  const found: Membership[] = []
  for await (const { id, value } of database.list(memberships, { under: `${user}/` })) {
    const organization = await database.get(organizations, id.slice(user.length + 1))
    if (organization !== undefined) found.push({ organization, role: value.role })
  }
  return found.sort((a, b) => a.organization.name.localeCompare(b.organization.name))
}

/** By name. */
export async function organizationsOf(
  database: Database,
  user: UserId,
): Promise<readonly Organization[]> {
  return (await membershipsOf(database, user)).map(({ organization }) => organization)
}

/** The organization, for one of its members. Throws a 404 problem to anybody else, whether it exists or not. */
export async function membershipIn(
  database: Database,
  user: UserId,
  id: string,
): Promise<Membership> {
  const parsed = parseIdOrNothing(id)
  const member = parsed && (await database.get(members, `${parsed}/${user}`))
  const organization = member && parsed && (await database.get(organizations, parsed))
  if (member === undefined || organization === undefined) throw organizationNotFound()
  return { organization, role: member.role }
}

/** As `membershipIn`. */
export async function organizationFor(
  database: Database,
  user: UserId,
  id: string,
): Promise<Organization> {
  return (await membershipIn(database, user, id)).organization
}

/** The role of who acts, inside a transaction that decides by it: the registry itself may do all. Throws a
 *  404 problem as `membershipIn`. */
export async function roleOf(
  transaction: Transaction,
  organization: OrganizationId,
  { who }: Act,
): Promise<MemberRole> {
  if (who.kind === 'registry') return 'owner'
  const member =
    who.kind === 'user' && (await transaction.get(members, `${organization}/${who.user}`))
  if (!member) throw organizationNotFound()
  return member.role
}

export function organizationNotFound(): ProblemError {
  return new ProblemError(404, 'organization-not-found', 'you have no such organization')
}

/** What pages and lists call a user. */
export function displayNameOf(user: Pick<User, 'email' | 'name'> | undefined, id: string): string {
  return user?.email ?? user?.name ?? id
}

/** What certificates call a user, and rules of a policy with them: what the identity provider vouches for and
 *  nothing else, so that nobody is called as somebody else is. */
export function ownerNameOf(user: User | undefined, id: string): string {
  if (user === undefined) return id
  const { email, emailVerified, name, subject } = user
  if (email && emailVerified === true) return email
  return name === subject ? name : `${name} (${id})`
}

function parseIdOrNothing(id: string): OrganizationId | undefined {
  try {
    return parseOrganizationId(id)
  } catch {
    // Whoever asks for what cannot exist gets the same answer as for what does not.
    return undefined
  }
}

/** The e-mail's local part, else the subject: printable, and not longer than a line. */
function nameOf({ email, subject }: SignIn): string {
  const name = email?.split('@')[0] || subject
  return name.replace(/[^\p{L}\p{N}._+ -]/gu, '').slice(0, 64) || 'user'
}
