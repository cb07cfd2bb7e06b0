/** One-time links by which people make their accounts: the first user's at start, and invitations. */
import { z } from 'zod'
import { toBase64url, toHex, utf8 } from '../../crypto/bytes.ts'
import { sha256 } from '../../crypto/hash.ts'
import type { RegistryContext } from '../context.ts'
import { ProblemError } from '../problem.ts'
import { collection } from '../store/collection.ts'
import type { Transaction } from '../store/database.ts'
import { deleteExpired } from '../store/expiry.ts'

/** By the hash of the link's token. */
const setupLinks = collection(
  'setup-link',
  z.object({
    kind: z.enum(['first-user', 'invitation']),
    /** Of the account, whatever is typed; absent: as typed. */
    email: z.string().optional(),
    expiresAt: z.number().int(),
  }),
)
export type SetupLink = z.infer<typeof setupLinks.schema>

/** The set-up link printed at start. Seconds. */
export const FIRST_USER_LINK_LIFETIME = 15 * 60
/** An invitation, which has to reach a person first. Seconds. */
export const INVITATION_LIFETIME = 24 * 3600

/** The transactions of accounts and their links take turns. */
export const ACCOUNTS_SCOPE = 'accounts'

/** Records the link that `decide` wants and gives its token, which the store does not hold. */
export async function makeLink<Wanted extends SetupLink | undefined>(
  { database, randomBytes }: Pick<RegistryContext, 'database' | 'randomBytes'>,
  decide: (transaction: Transaction) => Promise<Wanted>,
): Promise<Wanted extends undefined ? undefined : string> {
  const token = toBase64url(randomBytes(32))
  const link = await database.transact(ACCOUNTS_SCOPE, async (transaction) => {
    const wanted = await decide(transaction)
    if (wanted !== undefined) transaction.put(setupLinks, hashOf(token), wanted)
    return wanted
  })
  return (link && token) as Wanted extends undefined ? undefined : string
}

/** Throws a 410 problem when the link is unknown, used or over. */
export async function checkLink(
  { database, clock }: Pick<RegistryContext, 'database' | 'clock'>,
  token: string,
): Promise<SetupLink> {
  return assertUsable(await database.get(setupLinks, hashOf(token)), clock.now())
}

/** Uses the link up. Throws as `checkLink`. */
export async function useLink(
  transaction: Transaction,
  token: string,
  now: number,
): Promise<SetupLink> {
  const link = assertUsable(await transaction.get(setupLinks, hashOf(token)), now)
  transaction.delete(setupLinks, hashOf(token))
  // The first user's way in is closed by whoever comes in.
  await deleteFirstUserLinks(transaction)
  return link
}

export async function deleteFirstUserLinks(transaction: Transaction): Promise<void> {
  for (const { id, value } of await transaction.list(setupLinks)) {
    if (value.kind === 'first-user') transaction.delete(setupLinks, id)
  }
}

/** With the last account go the invitations of who has left: whoever held one would become the first user. */
export async function deleteAllLinks(transaction: Transaction): Promise<void> {
  for (const { id } of await transaction.list(setupLinks)) transaction.delete(setupLinks, id)
}

/** Deletes links that are over. */
export async function sweepLinks({ database, clock }: RegistryContext): Promise<void> {
  const links = { scope: ACCOUNTS_SCOPE, of: setupLinks, now: clock.now() }
  await deleteExpired(database, links, (transaction, id) => transaction.delete(setupLinks, id))
}

function assertUsable(link: SetupLink | undefined, now: number): SetupLink {
  if (link !== undefined && link.expiresAt > now) return link
  throw new ProblemError(
    410,
    'setup-link-over',
    'this set-up link is unknown, used or expired: restart the registry for a new first link, or ask for another invitation',
  )
}

export function hashOf(text: string): string {
  return toHex(sha256(utf8(text)))
}
