/** Signing keys in the store, sealed: what several registries of one store share. A key that only this
 *  registry's state directory has is sealed into the store when it is first needed. */
import { fromBase64, toBase32, toBase64 } from '../crypto/bytes.ts'
import { type SigningKeyPair, seedOf, signingKeyPairFromSeed } from '../crypto/signing.ts'
import type { OrganizationId } from '../protocol/keys.ts'
import type { Log } from '../protocol/log.ts'
import { type KeyEncryptionKeys, SEALED_KEY, sealingKey } from './key-encryption.ts'
import type { KeyStore } from './key-store.ts'
import type { Database } from './store/database.ts'

export interface SealedKeyStoreParts {
  readonly database: Database
  readonly keys: KeyEncryptionKeys
  /** Keys of the state directory. */
  readonly files: KeyStore
  readonly log: Log
}

export function openSealedKeyStore(parts: SealedKeyStoreParts): KeyStore {
  const { database, files } = parts
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
  { database, keys }: SealedKeyStoreParts,
  name: string,
): Promise<SigningKeyPair<Role> | undefined> {
  const record = await database.get(SEALED_KEY, name)
  if (record === undefined) return undefined
  const sealed = fromBase64(record.sealed)
  for (const key of keys) {
    const seed = key.open(sealed, name)
    if (seed !== undefined) return signingKeyPairFromSeed<Role>(seed)
  }
  throw new Error(
    `sealed key "${name}" does not open: it was changed, or is sealed with a newer key-encryption key`,
  )
}

async function saveSealed(
  { database, keys }: SealedKeyStoreParts,
  name: string,
  pair: SigningKeyPair<string>,
): Promise<void> {
  await database.transact(`sealed-key/${name}`, async (transaction) => {
    const key = await sealingKey(transaction, keys)
    transaction.put(SEALED_KEY, name, { sealed: toBase64(key.seal(seedOf(pair), name)) })
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
