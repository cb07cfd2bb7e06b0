/** Accounts of the embedded provider, and the one-time links by which people make theirs. */
import { z } from 'zod'
import { toBase32 } from '../../crypto/bytes.ts'
import { hashPassword, verifyPassword } from '../../crypto/password.ts'
import type { RegistryContext } from '../context.ts'
import { ProblemError } from '../problem.ts'
import { Refused } from '../refusal.ts'
import { collection } from '../store/collection.ts'
import type { Transaction } from '../store/database.ts'
import {
  ACCOUNTS_SCOPE,
  checkLink,
  deleteAllLinks,
  deleteFirstUserLinks,
  FIRST_USER_LINK_LIFETIME,
  hashOf,
  INVITATION_LIFETIME,
  makeLink,
  type SetupLink,
  useLink,
} from './setup-links.ts'

/** By account id, which is the `sub` of its tokens. */
const accounts = collection(
  'account',
  z.object({
    email: z.string(),
    /** Whoever made the link vouched for it: the operator for the first user's, who invites for others'. */
    emailVerified: z.boolean().optional(),
    passwordHash: z.string(),
    /** May invite others. */
    admin: z.boolean(),
    createdAt: z.number().int(),
  }),
)
export type Account = z.infer<typeof accounts.schema>

/** By the hash of the e-mail address in lower case. */
const accountsByEmail = collection('account-by-email', z.object({ account: z.string() }))

/** Read and written with every account, so that two first users cannot be made at once. */
const head = collection('accounts-head', z.object({ count: z.number().int() }))

/** NIST SP 800-63B §3.1.1.2 asks for 8 at least; nothing here adds a second factor. Characters. */
export const MIN_PASSWORD_LENGTH = 10
const MAX_PASSWORD_LENGTH = 256
const MAX_EMAIL_LENGTH = 254

const EMAIL = /^[^\s@<>"'&]+@[^\s@<>"'&]+$/

export interface Accounts {
  /** The token of a new link for the first user, the only one that works from now on; undefined when
   *  there is a user. */
  firstUserLink(): Promise<string | undefined>
  /** The token of a new link for one more user: of that e-mail address, where one is given. Throws a problem:
   *  422 (`field` email), 409 while there is no account. */
  invite(email?: string): Promise<string>
  /** Throws a 410 problem when the link is unknown, used or over. */
  checkLink(token: string): Promise<SetupLink>
  /** Makes the account and uses the link up. Throws a problem: 410 (link), 422 (`field` email or password). */
  complete(token: string, wanted: { email: string; password: string }): Promise<void>
  /** The account id; undefined when address or password is wrong, after the same time in both cases. */
  verify(email: string, password: string): Promise<string | undefined>
  find(id: string): Promise<Account | undefined>
  list(): Promise<readonly Account[]>
  /** Throws Refused (last-admin) of who alone may invite others, while there are others. */
  checkRemovable(id: string): Promise<void>
  /** In a transaction of the caller's. Harmless where there is none; with the last one go all links. As
   *  `checkRemovable`. */
  removeIn(transaction: Transaction, id: string): Promise<void>
}

type AccountContext = Pick<RegistryContext, 'database' | 'clock' | 'randomBytes' | 'log'>

export function createAccounts(context: AccountContext): Accounts {
  const { database, clock, randomBytes } = context
  return {
    firstUserLink: () =>
      makeLink(context, async (transaction) => {
        if ((await countAccounts(transaction)) > 0) return undefined
        await deleteFirstUserLinks(transaction)
        return { kind: 'first-user', expiresAt: clock.now() + FIRST_USER_LINK_LIFETIME }
      }),
    invite: (email) => invite(context, email),
    checkLink: (token) => checkLink(context, token),
    async complete(token, { email, password }) {
      const link = await checkLink(context, token)
      checkEmail(link.email ?? email)
      checkPassword(password)
      const account = {
        email: link.email ?? email,
        emailVerified: link.email !== undefined || link.kind === 'first-user',
        passwordHash: await hashPassword(password),
        createdAt: clock.now(),
        id: toBase32(randomBytes(16)),
      }
      await database.transact(ACCOUNTS_SCOPE, (transaction) =>
        create(transaction, token, account, clock.now()),
      )
      context.log('info', 'account.created', { account: account.id })
    },
    async verify(email, password) {
      const found = await database.get(accountsByEmail, hashOf(email.toLowerCase()))
      const account = found && (await database.get(accounts, found.account))
      const valid = await verifyPassword(password, account?.passwordHash ?? (await nobodysHash()))
      return valid && account !== undefined ? found?.account : undefined
    },
    find: (id) => database.get(accounts, id),
    checkRemovable: (id) => database.transact(ACCOUNTS_SCOPE, (each) => checkRemovable(each, id)),
    removeIn,
    async list() {
      const found: Account[] = []
      for await (const { value } of database.list(accounts)) found.push(value)
      return found.sort((a, b) => a.createdAt - b.createdAt)
    },
  }
}

async function invite(context: AccountContext, email: string | undefined): Promise<string> {
  if (email !== undefined) checkEmail(email)
  return makeLink(context, async (transaction) => {
    await assertSomebodyInvites(transaction)
    return {
      ...{ kind: 'invitation', expiresAt: context.clock.now() + INVITATION_LIFETIME },
      ...(email !== undefined && { email }),
    }
  })
}

async function create(
  transaction: Transaction,
  token: string,
  { id, ...account }: Omit<Account, 'admin'> & { id: string },
  now: number,
): Promise<void> {
  const count = await countAccounts(transaction)
  await useLink(transaction, token, now)
  const byEmail = hashOf(account.email.toLowerCase())
  if ((await transaction.get(accountsByEmail, byEmail)) !== undefined) {
    throw new ProblemError(422, 'email-taken', 'this e-mail address has an account already', {
      field: 'email',
    })
  }
  transaction.put(accounts, id, { ...account, admin: count === 0 })
  transaction.put(accountsByEmail, byEmail, { account: id })
  transaction.put(head, 'accounts', { count: count + 1 })
}

async function removeIn(transaction: Transaction, id: string): Promise<void> {
  await checkRemovable(transaction, id)
  const account = await transaction.get(accounts, id)
  if (account === undefined) return
  transaction.delete(accounts, id)
  transaction.delete(accountsByEmail, hashOf(account.email.toLowerCase()))
  const count = (await countAccounts(transaction)) - 1
  transaction.put(head, 'accounts', { count })
  if (count === 0) await deleteAllLinks(transaction)
}

/** Reads and writes the head, so that no link is made beside the removal of the last account. Throws a 409
 *  problem. */
async function assertSomebodyInvites(transaction: Transaction): Promise<void> {
  const count = await countAccounts(transaction)
  transaction.put(head, 'accounts', { count })
  if (count > 0) return
  throw new ProblemError(409, 'no-account', 'nobody has an account who could invite others')
}

/** Throws Refused (last-admin). */
async function checkRemovable(transaction: Transaction, id: string): Promise<void> {
  const account = await transaction.get(accounts, id)
  const others = (await countAccounts(transaction)) - 1
  if (account?.admin !== true || others <= 0) return
  throw new Refused(
    'last-admin',
    `you alone may invite users to this registry, and it has ${others} more: they must go first`,
  )
}

async function countAccounts(transaction: Transaction): Promise<number> {
  return (await transaction.get(head, 'accounts'))?.count ?? 0
}

function checkEmail(email: string): void {
  if (email.length > MAX_EMAIL_LENGTH || !EMAIL.test(email)) {
    throw new ProblemError(422, 'email-invalid', 'this is not an e-mail address', {
      field: 'email',
    })
  }
}

function checkPassword(password: string): void {
  if (password.length < MIN_PASSWORD_LENGTH || password.length > MAX_PASSWORD_LENGTH) {
    throw new ProblemError(
      422,
      'password-length',
      `the password has ${password.length} characters: it needs ${MIN_PASSWORD_LENGTH} to ${MAX_PASSWORD_LENGTH}`,
      { field: 'password' },
    )
  }
}

let nobody: Promise<string> | undefined

/** So that an unknown address takes as long as a wrong password. */
function nobodysHash(): Promise<string> {
  const hash = nobody ?? hashPassword('nobody has this password')
  nobody = hash
  return hash
}
