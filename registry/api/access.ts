/** Who may use a route: scopes of tokens, roles of members, and the one check of both. */
import { type OrganizationId, parseOrganizationId } from '../../protocol/keys.ts'
import type { Seconds } from '../../protocol/time.ts'
import { members, organizations, type UserId } from '../organizations.ts'
import { ProblemError } from '../problem.ts'
import { MEMBER_ROLES, type MemberRole } from '../roles.ts'
import type { Database } from '../store/database.ts'

/** What a token may be good for. A session is good for all of them. */
export const SCOPES = [
  'read',
  'devices:write',
  'registration-keys:write',
  'members:write',
  'organizations:write',
  'policy:write',
  'audit:read',
  'tokens:write',
] as const
export type Scope = (typeof SCOPES)[number]

/** Roles that a route names. */
export const ANY_MEMBER: readonly MemberRole[] = MEMBER_ROLES
export const ADMINS: readonly MemberRole[] = ['owner', 'admin']
export const OWNERS: readonly MemberRole[] = ['owner']

export interface TokenInUse {
  readonly id: string
  readonly description: string
  readonly scopes: readonly Scope[]
  readonly expiresAt: Seconds
}

/** A user who asks, by a session or by a token. */
export interface Caller {
  readonly user: UserId
  /** As people call them. */
  readonly name: string
  readonly token?: TokenInUse
}

export interface Membership {
  readonly organization: OrganizationId
  readonly role: MemberRole
}

/** Throws a 403 problem when the caller's token is not good for `scope`. */
export function checkScope({ token }: Caller, scope: Scope): void {
  if (token === undefined || token.scopes.includes(scope)) return
  throw new ProblemError(
    403,
    'scope-missing',
    `the token has the scopes ${token.scopes.join(', ')}; this needs ${scope} (make another token)`,
  )
}

/** The membership of `user` in the organization that `text` names. Throws a 404 problem to strangers,
 *  whether it exists or not, and a 403 problem to members without one of the roles. */
export async function memberOf(
  database: Database,
  user: UserId,
  text: string,
  roles: readonly MemberRole[],
): Promise<Membership> {
  const organization = parseIdOrNothing(text)
  const member = organization && (await database.get(members, `${organization}/${user}`))
  const known = member && organization && (await database.get(organizations, organization))
  if (!organization || !member || known === undefined) {
    throw new ProblemError(404, 'organization-not-found', 'you have no such organization')
  }
  const { role } = member
  if (roles.includes(role)) return { organization, role }
  throw new ProblemError(
    403,
    'role-missing',
    `you are ${role} of this organization; this needs ${roles.join(' or ')}`,
  )
}

function parseIdOrNothing(text: string): OrganizationId | undefined {
  try {
    return parseOrganizationId(text)
  } catch {
    // Whoever asks for what cannot exist gets the same answer as for what does not.
    return undefined
  }
}
