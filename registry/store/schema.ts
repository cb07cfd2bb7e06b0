/** The schema version of a store: which records a registry may find in it. */
import { z } from 'zod'
import { collection, encodeRecord, keyOf, parseRecord } from './collection.ts'
import { type Store, StoreError } from './store.ts'

/** To be raised with a change that older registries would misread, together with what brings older
 *  records up to date. */
export const SCHEMA_VERSION = 1

const SCHEMA = collection('schema', z.strictObject({ version: z.int().positive() }))
export const SCHEMA_KEY = keyOf(SCHEMA, 'version')

/** Undefined in a store that is empty, or older than schema versions. */
export async function schemaVersion(store: Store): Promise<number | undefined> {
  const entry = await store.get(SCHEMA_KEY)
  return entry && parseRecord(SCHEMA, entry).version
}

/** Writes our version where there is none. Throws StoreError where a newer registry wrote the store: its
 *  records may mean what we do not know. */
export async function checkSchema(store: Store): Promise<void> {
  const version = await schemaVersion(store)
  if (version === undefined) {
    const value = encodeRecord(SCHEMA, { version: SCHEMA_VERSION })
    const checks = [{ key: SCHEMA_KEY, version: 0n }]
    const made = await store.commit({ checks, puts: [{ key: SCHEMA_KEY, value }] })
    if (made.ok) return made.durable
    return checkSchema(store)
  }
  refuseNewer(version, 'the store')
}

/** Throws StoreError. */
export function refuseNewer(version: number, what: string): void {
  if (version <= SCHEMA_VERSION) return
  throw new StoreError(
    `${what} has schema version ${version}, and this registry knows versions up to ${SCHEMA_VERSION}: install the newer registry that wrote it`,
  )
}
