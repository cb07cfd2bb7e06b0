/** The registry's signing keys: a root and an issuer key for each organization. On disk, 0600 each; see
 *  sealed-key-store.ts for those of several registries. */
import { mkdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { toBase32 } from '../crypto/bytes.ts'
import { readKeyFile, writeKeyFile } from '../crypto/key-file.ts'
import { type SigningKeyPair, seedOf, signingKeyPairFromSeed } from '../crypto/signing.ts'
import type { IssuerKeyPair, OrganizationId, RootKeyPair } from '../protocol/keys.ts'

export interface KeyStore {
  /** Undefined where the operator keeps the file elsewhere. Throws KeyFileError. */
  root(organization: OrganizationId): Promise<RootKeyPair | undefined>
  /** Where the operator may put it. */
  rootPath(organization: OrganizationId): string
  /** Where the issuer key is kept, for messages. */
  issuerPath(organization: OrganizationId): string
  saveRoot(organization: OrganizationId, key: RootKeyPair): Promise<void>
  /** The issuer key that the organization's head names, by the base32 of its public key; it is in use
   *  from now on. Undefined where it is lost. */
  issuer(organization: OrganizationId, key: string): Promise<IssuerKeyPair | undefined>
  /** Beside the one in use; `issuer` puts it in its place. */
  saveNextIssuer(organization: OrganizationId, key: IssuerKeyPair): Promise<void>
  /** Deletes all keys of an organization that is no more. */
  forget(organization: OrganizationId): Promise<void>
}

const SEED_BYTES = 32

/** Creates the directories. */
export async function openKeyStore(stateDirectory: string): Promise<KeyStore> {
  const roots = join(stateDirectory, 'roots')
  const issuers = join(stateDirectory, 'issuers')
  await mkdir(roots, { recursive: true, mode: 0o700 })
  await mkdir(issuers, { recursive: true, mode: 0o700 })
  const rootPath = (organization: OrganizationId) => join(roots, `${organization}.key`)
  const issuerPath = (organization: OrganizationId) => join(issuers, `${organization}.key`)
  const nextPath = (organization: OrganizationId) => `${issuerPath(organization)}.next`
  return {
    rootPath,
    issuerPath,
    root: (organization) => readPair<'root'>(rootPath(organization)),
    saveRoot: (organization, key) => writeKeyFile(rootPath(organization), seedOf(key)),
    async issuer(organization, key) {
      const current = await readPair<'issuer'>(issuerPath(organization))
      if (current !== undefined && toBase32(current.publicKey) === key) return current
      const next = await readPair<'issuer'>(nextPath(organization))
      if (next === undefined || toBase32(next.publicKey) !== key) return undefined
      await rename(nextPath(organization), issuerPath(organization)).catch(unlessMoved)
      return next
    },
    saveNextIssuer: (organization, key) => writeKeyFile(nextPath(organization), seedOf(key)),
    async forget(organization) {
      for (const path of [rootPath, nextPath, issuerPath]) {
        await rm(path(organization), { force: true })
      }
    },
  }
}

/** Whoever asked at the same moment has moved it. */
function unlessMoved(error: unknown): void {
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return
  throw error
}

async function readPair<Role extends string>(
  path: string,
): Promise<SigningKeyPair<Role> | undefined> {
  const seed = await readKeyFile(path, SEED_BYTES)
  return seed && signingKeyPairFromSeed<Role>(seed)
}
