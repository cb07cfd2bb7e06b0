/** Secrets of sign-in that outlive a restart: files of the state directory, made at first start; or, where
 *  several registries share a store, what follows from the secret that they share. */
import { join } from 'node:path'
import { toBase64url, utf8 } from '../../crypto/bytes.ts'
import { hkdfSha256 } from '../../crypto/hash.ts'
import { readKeyFile, writeKeyFile } from '../../crypto/key-file.ts'
import type { RandomBytes } from '../../crypto/random.ts'
import { signingKeyPairFromSeed } from '../../crypto/signing.ts'
import type { KeyEncryptionKey } from '../key-encryption-key.ts'

export interface IdentityKeys {
  /** Authenticates a sign-in attempt's cookie. */
  readonly attempt: Uint8Array
  /** Authenticates the embedded provider's own cookies. */
  readonly providerCookies: string
  /** The embedded provider's Ed25519 signing key (RFC 8037 §2). */
  readonly providerJwk: Readonly<Record<'kty' | 'crv' | 'd' | 'x' | 'use' | 'alg' | 'kid', string>>
}

/** Throws KeyFileError. */
export async function loadIdentityKeys(
  stateDirectory: string,
  randomBytes: RandomBytes,
  shared?: KeyEncryptionKey,
): Promise<IdentityKeys> {
  const load = (name: string) =>
    shared?.derive(`nexodus ${name}`) ?? loadOrMake(join(stateDirectory, name), randomBytes)
  const secret = await load('identity.key')
  const seed = await load('oidc-signing.key')
  const derive = (purpose: string) => hkdfSha256(secret, new Uint8Array(), utf8(purpose), 32)
  const { publicKey } = signingKeyPairFromSeed<'provider'>(seed)
  const x = toBase64url(publicKey)
  return {
    attempt: derive('nexodus sign-in attempt'),
    providerCookies: toBase64url(derive('nexodus provider cookies')),
    providerJwk: {
      kty: 'OKP',
      crv: 'Ed25519',
      d: toBase64url(seed),
      x,
      use: 'sig',
      alg: 'EdDSA',
      kid: x.slice(0, 16),
    },
  }
}

async function loadOrMake(path: string, randomBytes: RandomBytes): Promise<Uint8Array> {
  const found = await readKeyFile(path, 32)
  if (found !== undefined) return found
  const made = randomBytes(32)
  await writeKeyFile(path, made)
  return made
}
