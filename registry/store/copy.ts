/** Copying of records between stores, whatever their engines. */
import { checkSchema, refuseNewer, SCHEMA_KEY, schemaVersion } from './schema.ts'
import { type Range, type Store, StoreError } from './store.ts'

/** A record without its version, which is its store's own. */
export interface StoredRecord {
  readonly key: string
  readonly value: Uint8Array
}

/** Every record. */
export const ALL_RECORDS: Range = { gte: '!', lt: '\u007f' }

/** Records and bytes of one commit: below what every engine takes. */
const RECORDS = 500
const BYTES = 512 * 1024

/** Puts all records of `from` into `to`, which must be empty; their number. Nobody else may write to either
 *  meanwhile. Throws StoreError. */
export async function copyStore(from: Store, to: Store): Promise<number> {
  refuseNewer((await schemaVersion(from)) ?? 0, 'the store that is copied')
  const count = await fill(to, from.list(ALL_RECORDS))
  const copied = await countRecords(to)
  if (copied !== count) {
    throw new StoreError(
      `${count} records were copied, but ${copied} are there: somebody else writes`,
    )
  }
  // What had no version of the schema has one now.
  await checkSchema(to)
  return count
}

/** Throws StoreError where `to` holds anything. The schema's version is written last: a copy that broke off
 *  is no store that a registry would take for whole. */
export async function fill(to: Store, records: AsyncIterable<StoredRecord>): Promise<number> {
  for await (const { key } of to.list({ ...ALL_RECORDS, limit: 1 })) {
    throw new StoreError(
      `the target holds records already, such as "${key}": name an empty one (another directory, another prefix)`,
    )
  }
  let [count, bytes] = [0, 0]
  let batch: StoredRecord[] = []
  let last: StoredRecord | undefined
  const flush = async () => {
    const result = await to.commit({ puts: batch })
    if (result.ok) await result.durable
    count += batch.length
    ;[batch, bytes] = [[], 0]
  }
  for await (const { key, value } of records) {
    if (key === SCHEMA_KEY) {
      last = { key, value }
      continue
    }
    if (batch.length >= RECORDS || bytes + value.length > BYTES) await flush()
    batch.push({ key, value })
    bytes += key.length + value.length
  }
  if (batch.length > 0) await flush()
  if (last !== undefined) batch.push(last)
  if (batch.length > 0) await flush()
  return count
}

async function countRecords(store: Store): Promise<number> {
  let count = 0
  for await (const _ of store.list(ALL_RECORDS)) count += 1
  return count
}
