/** Deletion of records that have expired. */
import type { Seconds } from '../../protocol/time.ts'
import type { Collection } from './collection.ts'
import type { Database, Transaction } from './database.ts'

/** Records of one transaction. However many have expired, a commit stays below what an engine takes at once, and
 *  has few enough checks to be no hindrance to the commits of others (etcd-commit.ts, CHECKS). */
const AT_ONCE = 32

/** @param scope of the transactions that change such records
 *  @param remove deletes the record, and those that stand and fall with it; it reads nothing */
export async function deleteExpired<T extends { readonly expiresAt: number }>(
  database: Database,
  { scope, of, now }: { readonly scope: string; readonly of: Collection<T>; readonly now: Seconds },
  remove: (transaction: Transaction, id: string, value: T) => void,
): Promise<void> {
  const expired: string[] = []
  for await (const { id, value } of database.list(of)) {
    if (value.expiresAt <= now) expired.push(id)
  }
  for (let at = 0; at < expired.length; at += AT_ONCE) {
    const ids = expired.slice(at, at + AT_ONCE)
    await database.transact(scope, async (transaction) => {
      const records = await Promise.all(ids.map((id) => transaction.get(of, id)))
      for (const [index, id] of ids.entries()) {
        const known = records[index]
        // Somebody decided meanwhile, and that one has another end.
        if (known !== undefined && known.expiresAt <= now) remove(transaction, id, known)
      }
    })
  }
}
