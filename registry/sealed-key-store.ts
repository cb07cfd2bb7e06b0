/** Signing keys in the store, sealed: what several registries of one store share. A key that only this
 *  registry's state directory has is sealed into the store when it is first needed. */
import { z } from 'zod'
import { fromBase64, toBase32, toBase64 } from '../crypto/bytes.ts'
import { type SigningKeyPair, seedOf, signingKeyPairFromSeed } from '../crypto/signing.ts'
import type { OrganizationId } from '../protocol/keys.ts'
import type { Log } from '../protocol/log.ts'
import { ConfigError } from './config.ts'
import type { KeyEncryptionKey } from './key-encryption-key.ts'
import type { KeyStore } from './key-store.ts'
import { collection } from './store/collection.ts'
import type { Database } from './store/database.ts'

/** By `<organization>/root`, and `<organization>/issuer/<base32 of the public key>`: two registries that
 *  rotate at once lose neither key. */
const SEALED_KEY = collection('sealed-key', z.strictObject({ sealed: z.base64() }))
/** Under `check`: which key-encryption key everything is sealed with. */
const KEY_ENCRYPTION = collection('key-encryption', z.strictObject({ id: z.string() }))

export interface SealedKeyStoreParts {
  readonly database: Database
  readonly key: KeyEncryptionKey
  /** Keys of the state directory. */
  readonly files: KeyStore
  readonly log: Log
}

/** Throws ConfigError where the store's keys are sealed with another key. */
export async function openSealedKeyStore(parts: SealedKeyStoreParts): Promise<KeyStore> {
  const { database, key, files } = parts
  const id = await database.transact('key-encryption', async (transaction) => {
    const known = await transaction.get(KEY_ENCRYPTION, 'check')
    if (known === undefined) transaction.put(KEY_ENCRYPTION, 'check', { id: key.id })
    return known?.id ?? key.id
  })
  if (id !== key.id) {
    throw new ConfigError(
      `--key-encryption-key-file ${key.path}: the keys of this store are sealed with another key (copy the file from a registry that runs)`,
    )
  }
  const save = (name: string, pair: SigningKeyPair<string>) => saveSealed(parts, name, pair)
  const root = async (organization: OrganizationId) =>
    (await readSealed<'root'>(parts, rootName(organization))) ?? files.root(organization)
  return {
    root,
    rootPath: files.rootPath,
    issuerPath: (organization) => `the store, record "${SEALED_KEY.name}:${organization}/issuer",`,
    saveRoot: (organization, pair) => save(rootName(organization), pair),
    saveNextIssuer: (organization, pair) => save(issuerName(organization, publicKeyOf(pair)), pair),
    issuer: async (organization, publicKey) =>
      (await readSealed<'issuer'>(parts, issuerName(organization, publicKey))) ??
      importKeys(parts, organization, publicKey),
    nextIssuer: async (organization, publicKey) =>
      (await readSealed<'issuer'>(parts, issuerName(organization, publicKey))) ??
      files.nextIssuer(organization, publicKey),
    async forgetRoot(organization) {
      await database.transact(`sealed-key/${rootName(organization)}`, async (transaction) => {
        transaction.delete(SEALED_KEY, rootName(organization))
      })
      await files.forgetRoot(organization)
    },
    forget: (organization) => forgetKeys(parts, organization),
  }
}

/** Throws ConfigError where the keys are in the store and we were not given what opens them. */
export async function assertNotSealed(database: Database): Promise<void> {
  if ((await database.get(KEY_ENCRYPTION, 'check')) === undefined) return
  throw new ConfigError(
    'the signing keys of this store are sealed: --key-encryption-key-file is needed, with the file that its other registries have',
  )
}

async function forgetKeys(
  { database, files }: SealedKeyStoreParts,
  organization: OrganizationId,
): Promise<void> {
  await database.transact(`sealed-key/${organization}`, async (transaction) => {
    for (const { id } of await transaction.list(SEALED_KEY, { under: `${organization}/` })) {
      transaction.delete(SEALED_KEY, id)
    }
  })
  await files.forget(organization)
}

async function importKeys(
  parts: SealedKeyStoreParts,
  organization: OrganizationId,
  publicKey: string,
) {
  const { files, log } = parts
  const pair = await files.issuer(organization, publicKey)
  if (pair === undefined) return undefined
  await saveSealed(parts, issuerName(organization, publicKey), pair)
  const root = await files.root(organization)
  if (root !== undefined) await saveSealed(parts, rootName(organization), root)
  log('info', 'keys.sealed', { organization, from: files.issuerPath(organization) })
  return pair
}

async function readSealed<Role extends string>(
  { database, key }: SealedKeyStoreParts,
  name: string,
): Promise<SigningKeyPair<Role> | undefined> {
  const record = await database.get(SEALED_KEY, name)
  if (record === undefined) return undefined
  const seed = key.open(fromBase64(record.sealed), name)
  if (seed === undefined) throw new Error(`sealed key "${name}" does not open: it was changed`)
  return signingKeyPairFromSeed<Role>(seed)
}

async function saveSealed(
  { database, key }: SealedKeyStoreParts,
  name: string,
  pair: SigningKeyPair<string>,
): Promise<void> {
  const sealed = toBase64(key.seal(seedOf(pair), name))
  await database.transact(`sealed-key/${name}`, async (transaction) => {
    transaction.put(SEALED_KEY, name, { sealed })
  })
}

function rootName(organization: OrganizationId): string {
  return `${organization}/root`
}

function issuerName(organization: OrganizationId, publicKey: string): string {
  return `${organization}/issuer/${publicKey}`
}

function publicKeyOf(pair: SigningKeyPair<string>): string {
  return toBase32(pair.publicKey)
}
