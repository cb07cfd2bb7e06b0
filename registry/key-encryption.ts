/** What a store's signing keys are sealed with, as the store itself says; and the change from one
 *  key-encryption key to another, record by record, while registries that have both go on. */
import { z } from 'zod'
import { fromBase64, toBase64 } from '../crypto/bytes.ts'
import { ConfigError } from './config.ts'
import type { KeyEncryptionKey } from './key-encryption-key.ts'
import { collection } from './store/collection.ts'
import type { Database, Transaction } from './store/database.ts'

/** By `<organization>/root`, and `<organization>/issuer/<base32 of the public key>`: two registries that
 *  rotate at once lose neither key. */
export const SEALED_KEY = collection('sealed-key', z.strictObject({ sealed: z.base64() }))
/** Under `check`: which key-encryption key seals. While keys are changed some records are still sealed
 *  `from` another one. */
const KEY_ENCRYPTION = collection(
  'key-encryption',
  z.strictObject({ id: z.string(), from: z.string().optional() }),
)

/** The first is the one that the store named at start. */
export type KeyEncryptionKeys = readonly [KeyEncryptionKey, ...KeyEncryptionKey[]]

/** Undefined where none was given and none is needed: keys are files of the state directory. Throws
 *  ConfigError where the store's keys are sealed with another key than those given.
 *  @param given the first seals a store that has no sealed keys yet */
export async function openKeyEncryption(
  database: Database,
  given: readonly KeyEncryptionKey[],
): Promise<KeyEncryptionKeys | undefined> {
  const [first] = given
  if (first === undefined) {
    await assertNotSealed(database)
    return undefined
  }
  const { id, from } = await database.transact('key-encryption', async (transaction) => {
    const known = await transaction.get(KEY_ENCRYPTION, 'check')
    if (known === undefined) transaction.put(KEY_ENCRYPTION, 'check', { id: first.id })
    return known ?? { id: first.id, from: undefined }
  })
  const current = given.find((key) => key.id === id)
  if (current === undefined) {
    throw new ConfigError(
      `--key-encryption-key-file ${first.path}: the keys of this store are sealed with another key (copy the file from a registry that runs)`,
    )
  }
  if (from !== undefined && !given.some((key) => key.id === from)) {
    throw new ConfigError(
      `--key-encryption-key-file ${first.path}: some keys of this store are still sealed with the key of before (run "nexodus-registry store change-key" again, to its end)`,
    )
  }
  return [current, ...given.filter((key) => key !== current)]
}

/** Throws ConfigError where the keys are in the store and we were not given what opens them. */
async function assertNotSealed(database: Database): Promise<void> {
  if ((await database.get(KEY_ENCRYPTION, 'check')) === undefined) return
  throw new ConfigError(
    'the signing keys of this store are sealed: --key-encryption-key-file is needed, with the file that its other registries have',
  )
}

/** The key that seals at this moment: a transaction that seals with it is run again where keys are changed
 *  meanwhile. Throws ConfigError where it is none of ours. */
export async function sealingKey(
  transaction: Transaction,
  keys: KeyEncryptionKeys,
): Promise<KeyEncryptionKey> {
  const id = (await transaction.get(KEY_ENCRYPTION, 'check'))?.id
  const key = keys.find((each) => each.id === id)
  if (key !== undefined) return key
  throw new ConfigError(
    `--key-encryption-key-file ${keys[0].path}: the keys of this store are sealed with another key by now (restart the registry with the new file)`,
  )
}

export interface KeyChange {
  /** Records that were sealed anew, and those that had been before. */
  readonly sealed: number
  readonly before: number
}

/** Seals every key of the store with `to`. Broken off at any point it leaves a store that registries with
 *  both keys use, and goes on when it is called again; or back, with the two exchanged.
 *  Throws ConfigError where the store is sealed with neither; nothing is changed then. And where some records
 *  open with neither: all others are sealed with `to` then, and the change has no end until those are mended. */
export async function changeKeyEncryptionKey(
  database: Database,
  from: KeyEncryptionKey,
  to: KeyEncryptionKey,
): Promise<KeyChange> {
  await beginChange(database, from, to)
  const count = { sealed: 0, before: 0 }
  const unreadable: string[] = []
  for await (const { id } of database.list(SEALED_KEY)) {
    const done = await sealAnew(database, id, from, to)
    if (done === 'unreadable') unreadable.push(id)
    else count[done] += 1
  }
  if (unreadable.length > 0) throw openWithNeither(unreadable, to, count)
  await database.transact('key-encryption', async (transaction) => {
    await checkSealsWith(transaction, to)
    transaction.put(KEY_ENCRYPTION, 'check', { id: to.id })
  })
  return count
}

function openWithNeither(
  names: readonly string[],
  to: KeyEncryptionKey,
  { sealed, before }: KeyChange,
): ConfigError {
  const named = names.map((name) => `"${name}"`).join(', ')
  return new ConfigError(
    `opened by neither key: sealed key ${named} (changed, or sealed with another one). All others, ${sealed + before}, are sealed with ${to.path} now. Leave both keys to the registries, mend what is named from a backup, and run the change again`,
  )
}

/** From now on everybody seals with `to`. */
async function beginChange(
  database: Database,
  from: KeyEncryptionKey,
  to: KeyEncryptionKey,
): Promise<void> {
  if (from.id === to.id) throw new ConfigError(`${to.path} and ${from.path} are the same key`)
  await database.transact('key-encryption', async (transaction) => {
    const known = await transaction.get(KEY_ENCRYPTION, 'check')
    if (known === undefined) {
      throw new ConfigError('this store has no sealed keys: there is nothing to change')
    }
    const ids = [from.id, to.id]
    const isOurs = ids.includes(known.id) && ids.includes(known.from ?? known.id)
    if (!isOurs) {
      throw new ConfigError(
        `the keys of this store are sealed with another key than ${from.path} and ${to.path}: nothing was changed`,
      )
    }
    if (known.id === to.id) return
    transaction.put(KEY_ENCRYPTION, 'check', { id: to.id, from: from.id })
  })
}

/** Throws ConfigError where somebody has begun another change. */
async function checkSealsWith(transaction: Transaction, key: KeyEncryptionKey): Promise<void> {
  if ((await transaction.get(KEY_ENCRYPTION, 'check'))?.id === key.id) return
  throw new ConfigError('somebody else changes the key meanwhile: run one change only, to its end')
}

/** `before` also where it is no more. */
async function sealAnew(
  database: Database,
  name: string,
  from: KeyEncryptionKey,
  to: KeyEncryptionKey,
): Promise<keyof KeyChange | 'unreadable'> {
  return database.transact(`sealed-key/${name}`, async (transaction) => {
    await checkSealsWith(transaction, to)
    const record = await transaction.get(SEALED_KEY, name)
    if (record === undefined) return 'before'
    const sealed = fromBase64(record.sealed)
    if (to.open(sealed, name) !== undefined) return 'before'
    const seed = from.open(sealed, name)
    if (seed === undefined) return 'unreadable'
    transaction.put(SEALED_KEY, name, { sealed: toBase64(to.seal(seed, name)) })
    return 'sealed'
  })
}
