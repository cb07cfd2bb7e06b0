/** Acceptance of an invitation: who may, until when, and what it makes of them. */
import { type Act, userOf } from './act.ts'
import { audit } from './audit.ts'
import { emailOf, INVITATION, type InvitationRecord } from './invitation-record.ts'
import { MEMBERS } from './members.ts'
import type { OrganizationChange } from './organization-change.ts'
import { members, putMember, requireUser, type User } from './organizations.ts'
import { Refused } from './refusal.ts'
import { isAtLeast, mayGive } from './roles.ts'

/** One by e-mail address is for who proves that address, one by link for who holds it. */
export function isFor(
  { email }: InvitationRecord,
  user: Pick<User, 'email' | 'emailVerified'>,
): boolean {
  if (email === undefined) return true
  return user.emailVerified === true && emailOf(user.email ?? '') === email
}

/** Makes the user a member; a member stays what they are, or becomes more. Throws Refused (invitation-unknown,
 *  invitation-over, too-many-members), or a problem as `requireUser`. */
export async function acceptIn(change: OrganizationChange, id: string, by: Act): Promise<void> {
  const { transaction, organization, now } = change
  const user = userOf(by)
  const key = `${organization}/${id}`
  const invitation = await transaction.get(INVITATION, key)
  const about = await requireUser(transaction, user)
  if (invitation === undefined || !isFor(invitation, about)) throw unknownInvitation()
  const member = await transaction.get(members, `${organization}/${user}`)
  if (invitation.acceptedBy === user && member !== undefined) return
  if (invitation.acceptedBy !== undefined) throw over('has been used')
  if (invitation.expiresAt <= now) {
    throw over(`expired on ${new Date(invitation.expiresAt * 1000).toISOString()}`)
  }
  await checkInviter(change, invitation)
  transaction.put(INVITATION, key, { ...invitation, acceptedBy: user })
  if (member === undefined) await checkRoom(change)
  const isLess = member !== undefined && isAtLeast(member.role, invitation.role)
  const role = isLess ? member.role : invitation.role
  putMember(transaction, organization, user, { role, since: member?.since ?? now })
  await audit(transaction, organization, by, {
    ...{ action: 'invitation.accepted', subject: id },
    after: { user, role },
  })
}

/** What who invited may not give any more is not given. */
async function checkInviter(
  { transaction, organization }: OrganizationChange,
  { createdBy, role }: InvitationRecord,
): Promise<void> {
  const inviter = await transaction.get(members, `${organization}/${createdBy}`)
  if (inviter !== undefined && mayGive(inviter.role, role)) return
  throw over('was made by somebody who may not invite any more')
}

async function checkRoom({ transaction, organization }: OrganizationChange): Promise<void> {
  const all = await transaction.list(members, { under: `${organization}/` })
  if (all.length < MEMBERS) return
  throw new Refused(
    'too-many-members',
    `the organization has ${MEMBERS} members, the most it may have`,
  )
}

export function unknownInvitation(): Refused {
  return new Refused('invitation-unknown', 'there is no such invitation for you')
}

function over(why: string): Refused {
  return new Refused('invitation-over', `the invitation ${why} (ask for a new one)`)
}
