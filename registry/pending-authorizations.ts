/** How many programs and devices of one address may wait for a person. */
import { AUTHORIZATION, LOGIN, PENDING } from './authorization-record.ts'
import { Refused } from './refusal.ts'
import type { Database, Transaction } from './store/database.ts'

/** Of one address (one IPv4 address, one IPv6 /64). */
const PENDING_PER_SOURCE = 64

/** Throws Refused (too-many-pending). Reads outside of the transaction that adds one: new records do not make a
 *  transaction retry, and checks of the others would only be a burden (etcd-commit.ts, CHECKS). */
export async function checkPending(
  database: Pick<Database, 'get' | 'list'>,
  source: string,
  { now, lifetime }: { readonly now: number; readonly lifetime: number },
): Promise<void> {
  const hashes: string[] = []
  for await (const { id } of database.list(PENDING, { under: `${source}/` })) {
    hashes.push(id.slice(source.length + 1))
  }
  // Few addresses get so far: only of them we look at each.
  if (hashes.length < PENDING_PER_SOURCE) return
  const isPending = await Promise.all(hashes.map((hash) => isUnexpired(database, hash, now)))
  if (isPending.filter(Boolean).length < PENDING_PER_SOURCE) return
  throw new Refused(
    'too-many-pending',
    `${PENDING_PER_SOURCE} devices and logins at your address wait for approval already (approve or deny some, or wait ${lifetime / 60} minutes)`,
  )
}

async function isUnexpired(
  database: Pick<Transaction, 'get'>,
  hash: string,
  now: number,
): Promise<boolean> {
  const known = (await database.get(AUTHORIZATION, hash)) ?? (await database.get(LOGIN, hash))
  return known !== undefined && known.expiresAt > now
}
