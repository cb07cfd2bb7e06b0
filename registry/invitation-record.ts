/** Invitations as the store has them, and their two indexes: by e-mail address and by link. */
import { z } from 'zod'
import { toHex, utf8 } from '../crypto/bytes.ts'
import { sha256 } from '../crypto/hash.ts'
import type { OrganizationId } from '../protocol/keys.ts'
import { MEMBER_ROLES } from './roles.ts'
import { collection } from './store/collection.ts'
import type { Transaction } from './store/database.ts'

/** By `<organization>/<id>`. */
export const INVITATION = collection(
  'invitation',
  z.strictObject({
    role: z.enum(MEMBER_ROLES),
    /** In lower case. Who proves it may accept; absent: whoever holds the link, once. */
    email: z.string().optional(),
    /** Hex of the SHA-256 of the link's secret. */
    linkHash: z.string().optional(),
    createdBy: z.string(),
    createdAt: z.int(),
    expiresAt: z.int(),
    acceptedBy: z.string().optional(),
  }),
)
export type InvitationRecord = z.output<typeof INVITATION.schema>

const REFERENCE = z.strictObject({ organization: z.string(), id: z.string() })
/** By `<hash of the address>/<organization>/<id>`. */
export const INVITATION_BY_EMAIL = collection('invitation-email', REFERENCE)
/** By hash of the link's secret. */
export const INVITATION_BY_LINK = collection('invitation-link', REFERENCE)

export function putInvitation(
  transaction: Transaction,
  organization: OrganizationId,
  id: string,
  record: InvitationRecord,
): void {
  const reference = { organization, id }
  const { email, linkHash } = record
  transaction.put(INVITATION, `${organization}/${id}`, record)
  if (email !== undefined) {
    transaction.put(INVITATION_BY_EMAIL, `${hashOf(email)}/${organization}/${id}`, reference)
  }
  if (linkHash !== undefined) transaction.put(INVITATION_BY_LINK, linkHash, reference)
}

export function deleteInvitation(
  transaction: Transaction,
  organization: OrganizationId,
  id: string,
  { email, linkHash }: InvitationRecord,
): void {
  transaction.delete(INVITATION, `${organization}/${id}`)
  if (email !== undefined) {
    transaction.delete(INVITATION_BY_EMAIL, `${hashOf(email)}/${organization}/${id}`)
  }
  if (linkHash !== undefined) transaction.delete(INVITATION_BY_LINK, linkHash)
}

/** Addresses are told apart without regard to case: providers do not agree on the local part's. */
export function emailOf(text: string): string {
  return text.trim().toLowerCase()
}

/** Hex. */
export function hashOf(text: string): string {
  return toHex(sha256(utf8(text)))
}
