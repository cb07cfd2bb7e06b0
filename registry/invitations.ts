/** Invitations: how users come into organizations of others. By e-mail address: only who proves that address
 *  may accept. By link: whoever holds it, once. */
import { toBase32, toBase64url } from '../crypto/bytes.ts'
import type { RandomBytes } from '../crypto/random.ts'
import type { Clock } from '../protocol/clock.ts'
import { type OrganizationId, parseOrganizationId } from '../protocol/keys.ts'
import { type Seconds, seconds } from '../protocol/time.ts'
import { type Act, makerOf, userOf } from './act.ts'
import { audit } from './audit.ts'
import { acceptIn, isFor, unknownInvitation } from './invitation-acceptance.ts'
import {
  deleteInvitation,
  emailOf,
  hashOf,
  INVITATION,
  INVITATION_BY_EMAIL,
  INVITATION_BY_LINK,
  type InvitationRecord,
  putInvitation,
} from './invitation-record.ts'
import type { Issuing } from './issuing.ts'
import type { OrganizationChange } from './organization-change.ts'
import { displayNameOf, organizations, roleOf, type UserId, users } from './organizations.ts'
import { isRecordId } from './record-id.ts'
import { Refused } from './refusal.ts'
import { type MemberRole, requireMayGive, requireRole } from './roles.ts'
import type { Database } from './store/database.ts'

const ID_BYTES = 10
const SECRET_BYTES = 32
/** Invitations of one organization, over ones included. */
export const INVITATIONS = 500
/** Seconds. */
export const INVITATION_LIFETIMES = { least: 300, most: 30 * 86_400 } as const

export interface Invitation {
  readonly id: string
  readonly organization: OrganizationId
  readonly organizationName: string
  readonly role: MemberRole
  /** In lower case; undefined: it is by link. */
  readonly email: string | undefined
  /** As people call them. */
  readonly invitedBy: string
  readonly createdAt: Seconds
  readonly expiresAt: Seconds
  readonly accepted: boolean
}

export interface NewInvitation {
  readonly role: MemberRole
  /** Undefined: whoever holds the link may accept. */
  readonly email?: string | undefined
  readonly expiresAt: Seconds
}

export interface Invitations {
  /** `secret`, of one by link, is the end of the link and cannot be had again. Throws Refused (role-needed,
   *  too-many-invitations, organization-invalid). */
  create(
    organization: OrganizationId,
    by: Act,
    wanted: NewInvitation,
  ): Promise<{ readonly id: string; readonly secret: string | undefined }>
  /** Over ones too, newest first. */
  listOf(organization: OrganizationId): Promise<readonly Invitation[]>
  /** What waits for the user's word: those by an e-mail address that is proved to be theirs. */
  listFor(user: UserId): Promise<readonly Invitation[]>
  /** What a link is about. Throws Refused (invitation-unknown, invitation-over). */
  ofLink(secret: string): Promise<Invitation>
  /** The organization. Once more by the same user is no error. Throws Refused (invitation-unknown,
   *  invitation-over, too-many-members). */
  accept(by: Act, id: string): Promise<OrganizationId>
  acceptLink(by: Act, secret: string): Promise<OrganizationId>
  /** Throws Refused (invitation-unknown). */
  decline(by: Act, id: string): Promise<void>
  /** False: there is no such invitation. Throws Refused (role-needed). */
  revoke(organization: OrganizationId, by: Act, id: string): Promise<boolean>
  /** Deletes those that have been over for a while. */
  forgetExpired(): Promise<void>
}

export interface InvitationParts {
  readonly database: Database
  readonly issuing: Issuing
  readonly clock: Pick<Clock, 'now'>
  readonly randomBytes: RandomBytes
}

export function openInvitations(parts: InvitationParts): Invitations {
  const { database, issuing } = parts
  return {
    create: (organization, by, wanted) => create(parts, organization, by, wanted),
    listOf: (organization) => listOf(database, organization),
    listFor: (user) => listFor(parts, user),
    async ofLink(secret) {
      const found = await database.get(INVITATION_BY_LINK, hashOf(secret))
      if (found === undefined) throw unknownInvitation()
      return viewOf(database, parseOrganizationId(found.organization), found.id)
    },
    async accept(by, id) {
      const { organization } = await referenceFor(database, userOf(by), id)
      await issuing.change(organization, (change) => acceptIn(change, id, by))
      return organization
    },
    async acceptLink(by, secret) {
      const found = await database.get(INVITATION_BY_LINK, hashOf(secret))
      if (found === undefined) throw unknownInvitation()
      const organization = parseOrganizationId(found.organization)
      await issuing.change(organization, (change) => acceptIn(change, found.id, by))
      return organization
    },
    async decline(by, id) {
      const { organization, record } = await referenceFor(database, userOf(by), id)
      await issuing.change(organization, async ({ transaction }) => {
        deleteInvitation(transaction, organization, id, record)
        const declined = { action: 'invitation.declined', subject: id } as const
        await audit(transaction, organization, by, declined)
      })
    },
    revoke: (organization, by, id) =>
      issuing.change(organization, async ({ transaction }) => {
        requireRole(await roleOf(transaction, organization, by), 'admin')
        const key = `${organization}/${id}`
        const record = isRecordId(id) && (await transaction.get(INVITATION, key))
        if (!record) return false
        deleteInvitation(transaction, organization, id, record)
        await audit(transaction, organization, by, {
          ...{ action: 'invitation.revoked', subject: id },
          before: shownOf(record),
        })
        return true
      }),
    forgetExpired: () => forgetExpired(parts),
  }
}

async function create(
  { issuing, randomBytes }: InvitationParts,
  organization: OrganizationId,
  by: Act,
  wanted: NewInvitation,
): Promise<{ id: string; secret: string | undefined }> {
  const id = toBase32(randomBytes(ID_BYTES))
  const secret = wanted.email === undefined ? toBase64url(randomBytes(SECRET_BYTES)) : undefined
  await issuing.change(organization, async ({ transaction, now }) => {
    requireMayGive(await roleOf(transaction, organization, by), wanted.role)
    const known = await transaction.list(INVITATION, { under: `${organization}/` })
    if (known.length >= INVITATIONS) {
      throw new Refused(
        'too-many-invitations',
        `the organization has ${INVITATIONS} invitations, the most it may have (delete some)`,
      )
    }
    const record = {
      role: wanted.role,
      ...(wanted.email !== undefined && { email: emailOf(wanted.email) }),
      ...(secret !== undefined && { linkHash: hashOf(secret) }),
      ...{ createdBy: makerOf(by), createdAt: now, expiresAt: wanted.expiresAt },
    }
    putInvitation(transaction, organization, id, record)
    await audit(transaction, organization, by, {
      ...{ action: 'invitation.created', subject: id },
      after: shownOf(record),
    })
  })
  return { id, secret }
}

/** For the audit log: without what opens the door. */
function shownOf({ role, email, expiresAt }: InvitationRecord) {
  return { role, email, expiresAt }
}

async function listOf(
  database: Database,
  organization: OrganizationId,
): Promise<readonly Invitation[]> {
  const found: Invitation[] = []
  for await (const { id } of database.list(INVITATION, { under: `${organization}/` })) {
    found.push(await viewOf(database, organization, id.slice(organization.length + 1)))
  }
  return found.toSorted((a, b) => b.createdAt - a.createdAt)
}

async function listFor(
  { database, clock }: InvitationParts,
  user: UserId,
): Promise<readonly Invitation[]> {
  const record = await database.get(users, user)
  if (record?.email === undefined || record.emailVerified !== true) return []
  const found: Invitation[] = []
  const under = `${hashOf(emailOf(record.email))}/`
  for await (const { value } of database.list(INVITATION_BY_EMAIL, { under })) {
    const organization = parseOrganizationId(value.organization)
    const invitation = await viewOf(database, organization, value.id)
    if (!invitation.accepted && invitation.expiresAt > clock.now()) found.push(invitation)
  }
  return found
}

/** Throws Refused (invitation-unknown). */
async function viewOf(
  database: Database,
  organization: OrganizationId,
  id: string,
): Promise<Invitation> {
  const record = await database.get(INVITATION, `${organization}/${id}`)
  const about = await database.get(organizations, organization)
  if (record === undefined || about === undefined) throw unknownInvitation()
  const { role, email, createdBy } = record
  return {
    ...{ id, organization, organizationName: about.name, role, email },
    invitedBy: displayNameOf(await database.get(users, createdBy), createdBy),
    createdAt: seconds(record.createdAt),
    expiresAt: seconds(record.expiresAt),
    accepted: record.acceptedBy !== undefined,
  }
}

/** The invitation by e-mail address that is this user's. Throws Refused (invitation-unknown) to others. */
async function referenceFor(
  database: Database,
  user: UserId,
  id: string,
): Promise<{ organization: OrganizationId; record: InvitationRecord }> {
  const about = await database.get(users, user)
  if (about?.email === undefined || !isRecordId(id)) throw unknownInvitation()
  const under = `${hashOf(emailOf(about.email))}/`
  for await (const { value } of database.list(INVITATION_BY_EMAIL, { under })) {
    if (value.id !== id) continue
    const organization = parseOrganizationId(value.organization)
    const record = await database.get(INVITATION, `${organization}/${id}`)
    if (record !== undefined && isFor(record, about)) return { organization, record }
  }
  throw unknownInvitation()
}

/** Of an organization that is being deleted. */
export async function deleteInvitations({
  transaction,
  organization,
}: OrganizationChange): Promise<void> {
  for (const { id, value } of await transaction.list(INVITATION, { under: `${organization}/` })) {
    deleteInvitation(transaction, organization, id.slice(organization.length + 1), value)
  }
}

/** Seconds that one which is over stays in the list, so that people see what became of it. */
const REMEMBERED = 7 * 86_400

async function forgetExpired({ database, clock }: InvitationParts): Promise<void> {
  for await (const { id, value } of database.list(INVITATION)) {
    if (value.expiresAt + REMEMBERED > clock.now()) continue
    const [organization = '', own = ''] = id.split('/')
    await database.transact(organization, async (transaction) =>
      deleteInvitation(transaction, parseOrganizationId(organization), own, value),
    )
  }
}
