/** Users, organizations, and who belongs to which. */
import { z } from 'zod'
import { type Brand, toBase32, utf8 } from '../crypto/bytes.ts'
import { sha256 } from '../crypto/hash.ts'
import { type OrganizationId, parseOrganizationId } from '../protocol/keys.ts'
import type { Seconds } from '../protocol/time.ts'
import { audit } from './audit.ts'
import type { RegistryContext } from './context.ts'
import { ProblemError } from './problem.ts'
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
  /** What pages and certificates call the user. */
  name: z.string(),
  createdAt: moment,
})
const organizationSchema = z.object({ id: organizationId, name: z.string(), createdAt: moment })
const memberSchema = z.object({ role: z.literal('owner'), since: moment })

export type User = z.infer<typeof userSchema>
export type Organization = z.infer<typeof organizationSchema>

/** By UserId. */
export const users = collection('user', userSchema)
/** By OrganizationId. */
export const organizations = collection('organization', organizationSchema)
/** By `<OrganizationId>/<UserId>`. */
export const members = collection('organization-member', memberSchema)
/** By `<UserId>/<OrganizationId>`: the same fact, for finding a user's organizations. */
const memberships = collection('user-organization', memberSchema)

/** What a sign-in proved. `issuer` names the identity provider for ever, whatever its address. */
export interface SignIn {
  readonly issuer: string
  readonly subject: string
  readonly email?: string
}

/** Makes a new organization with its keys; `also` adds records in the transaction that records it,
 *  and may run more than once. */
export type FoundOrganization = (
  name: string,
  also: (transaction: Transaction, organization: OrganizationId) => Promise<void>,
) => Promise<OrganizationId>

export function userIdOf({ issuer, subject }: Pick<SignIn, 'issuer' | 'subject'>): UserId {
  const named = utf8(JSON.stringify([issuer, subject]))
  return toBase32(sha256(named).subarray(0, 16)) as UserId
}

/** Records the user at each sign-in, and at the first one gives them an organization of their own. */
export async function welcome(
  { database, clock }: Pick<RegistryContext, 'database' | 'clock'>,
  signIn: SignIn,
  found: FoundOrganization,
  from?: string,
): Promise<UserId> {
  const id = userIdOf(signIn)
  const now = clock.now()
  const name = nameOf(signIn)
  const who = { kind: 'user', user: id, name: signIn.email ?? name } as const
  const act = { who, at: now, ...(from !== undefined && { from }) }
  await database.transact(`user/${id}`, async (transaction) => {
    const createdAt = (await transaction.get(users, id))?.createdAt ?? now
    transaction.put(users, id, { ...signIn, name, createdAt })
  })
  if ((await organizationsOf(database, id)).length > 0) return id
  try {
    await found(name, async (transaction, organization) => {
      await assertFirst(transaction, id)
      transaction.put(organizations, organization, { id: organization, name, createdAt: now })
      addMember(transaction, organization, id, now)
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

/** Throws FoundedMeanwhile. Reads and writes the user, so that of two founders one must retry. */
async function assertFirst(transaction: Transaction, id: UserId): Promise<void> {
  const user = await transaction.get(users, id)
  if (user !== undefined) transaction.put(users, id, user)
  if ((await transaction.list(memberships, { under: `${id}/` })).length > 0) {
    throw new FoundedMeanwhile()
  }
}

function addMember(
  transaction: Transaction,
  organization: OrganizationId,
  user: UserId,
  since: Seconds,
): void {
  transaction.put(members, `${organization}/${user}`, { role: 'owner', since })
  transaction.put(memberships, `${user}/${organization}`, { role: 'owner', since })
}

/** By name. */
export async function organizationsOf(
  database: Database,
  user: UserId,
): Promise<readonly Organization[]> {
  const found: Organization[] = []
  for await (const { id } of database.list(memberships, { under: `${user}/` })) {
    const organization = await database.get(organizations, id.slice(user.length + 1))
    if (organization !== undefined) found.push(organization)
  }
  return found.sort((a, b) => a.name.localeCompare(b.name))
}

/** The organization, for one of its members. Throws a 404 problem to anybody else, whether it exists or not. */
export async function organizationFor(
  database: Database,
  user: UserId,
  id: string,
): Promise<Organization> {
  const parsed = parseIdOrNothing(id)
  const member = parsed && (await database.get(members, `${parsed}/${user}`))
  const organization = member && parsed && (await database.get(organizations, parsed))
  if (organization === undefined) {
    throw new ProblemError(404, 'organization-not-found', 'you have no such organization')
  }
  return organization
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
