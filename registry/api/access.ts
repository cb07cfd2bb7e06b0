/** Who may use a route: the scopes of a token and the role of a member, checked here and nowhere else. */
import { type OrganizationId, parseOrganizationId } from '../../protocol/keys.ts'
import type { Scope } from '../../protocol/scopes.ts'
import type { TokenInUse } from '../api-tokens.ts'
import { members, organizations, type UserId } from '../organizations.ts'
import { ProblemError } from '../problem.ts'
import { MEMBER_ROLES, type MemberRole } from '../roles.ts'
import type { Database } from '../store/database.ts'

/** Roles that a route names. */
export const ANY_MEMBER: readonly MemberRole[] = MEMBER_ROLES
export const ADMINS: readonly MemberRole[] = ['owner', 'admin']
export const OWNERS: readonly MemberRole[] = ['owner']

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
