/** Room for revocations: a manifest lists so many, and what members do leaves half of them to admins. */
import { REVOCATIONS } from '../protocol/limits.ts'
import type { Act } from './act.ts'
import type { OrganizationChange } from './organization-change.ts'
import { members } from './organizations.ts'
import { isAtLeast } from './roles.ts'

/** Of the manifest's list, whoever filled it. Members could else keep anybody from being put out. */
export const REVOCATIONS_BY_MEMBERS = REVOCATIONS / 2

/** How long the list may become by what somebody does: an admin, or the registry itself, may fill it. */
export async function mostRevocations(
  { transaction, organization }: OrganizationChange,
  { who }: Act,
): Promise<number> {
  if (who.kind === 'registry') return REVOCATIONS
  if (who.kind === 'device') return REVOCATIONS_BY_MEMBERS
  const member = await transaction.get(members, `${organization}/${who.user}`)
  const isAdmin = member !== undefined && isAtLeast(member.role, 'admin')
  return isAdmin ? REVOCATIONS : REVOCATIONS_BY_MEMBERS
}
