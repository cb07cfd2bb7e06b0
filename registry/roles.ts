/** What a user may do in an organization: owners everything, admins what concerns devices and members, members
 *  what concerns their own devices. */
import { Refused } from './refusal.ts'

/** From the least to the most. */
export const MEMBER_ROLES = ['member', 'admin', 'owner'] as const
export type MemberRole = (typeof MEMBER_ROLES)[number]

export function isAtLeast(role: MemberRole, least: MemberRole): boolean {
  return MEMBER_ROLES.indexOf(role) >= MEMBER_ROLES.indexOf(least)
}

/** Owners give and take every role, others those below their own. */
export function mayGive(by: MemberRole, role: MemberRole): boolean {
  return by === 'owner' || (isAtLeast(by, 'admin') && !isAtLeast(role, by))
}

/** Throws Refused (role-needed). */
export function requireRole(role: MemberRole, least: MemberRole): void {
  if (!isAtLeast(role, least)) throw roleNeeded(least)
}

/** Throws Refused (role-needed). */
export function requireMayGive(by: MemberRole, role: MemberRole): void {
  if (!mayGive(by, role)) throw roleNeeded(role === 'member' ? 'admin' : 'owner')
}

function roleNeeded(least: MemberRole): Refused {
  const who = least === 'owner' ? 'an owner' : 'an admin or owner'
  return new Refused('role-needed', `only ${who} of the organization may do this`)
}
