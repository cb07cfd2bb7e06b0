/** The registry's signing keys on disk: a root and an issuer key for each organization, 0600 each. */
import { access, mkdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { readKeyFile, writeKeyFile } from '../crypto/key-file.ts'
import { type SigningKeyPair, seedOf, signingKeyPairFromSeed } from '../crypto/signing.ts'
import type { IssuerKeyPair, OrganizationId, RootKeyPair } from '../protocol/keys.ts'

export interface KeyStore {
  /** Undefined where the operator keeps the file elsewhere. Throws KeyFileError. */
  root(organization: OrganizationId): Promise<RootKeyPair | undefined>
  rootPath(organization: OrganizationId): string
  issuerPath(organization: OrganizationId): string
  saveRoot(organization: OrganizationId, key: RootKeyPair): Promise<void>
  /** The issuer key in its place, and one beside it that a rotation has made and not put there yet. */
  issuers(organization: OrganizationId): Promise<IssuerKeys>
  /** Beside the one in use; `promote` puts it in its place. */
  saveNextIssuer(organization: OrganizationId, key: IssuerKeyPair): Promise<void>
  promoteIssuer(organization: OrganizationId): Promise<void>
  /** Deletes all keys of an organization that is no more. */
  forget(organization: OrganizationId): Promise<void>
}

export interface IssuerKeys {
  readonly current: IssuerKeyPair | undefined
  readonly next: IssuerKeyPair | undefined
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
    async issuers(organization) {
      const current = await readPair<'issuer'>(issuerPath(organization))
      return { current, next: await readPair<'issuer'>(nextPath(organization)) }
    },
    saveNextIssuer: (organization, key) => writeKeyFile(nextPath(organization), seedOf(key)),
    async promoteIssuer(organization) {
      if (await exists(nextPath(organization))) {
        await rename(nextPath(organization), issuerPath(organization))
      }
    },
    async forget(organization) {
      for (const path of [rootPath, nextPath, issuerPath]) {
        await rm(path(organization), { force: true })
      }
    },
  }
}

async function readPair<Role extends string>(
  path: string,
): Promise<SigningKeyPair<Role> | undefined> {
  const seed = await readKeyFile(path, SEED_BYTES)
  return seed && signingKeyPairFromSeed<Role>(seed)
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path)
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false
    throw error
  }
}
