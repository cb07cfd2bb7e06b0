/** The rendezvous' own key, which names it among peers; it vouches for nothing. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { readKeyFile, writeKeyFile } from '../../crypto/key-file.ts'
import {
  generateSigningKeyPair,
  type SigningKeyPair,
  seedOf,
  signingKeyPairFromSeed,
} from '../../crypto/signing.ts'

const SEED_BYTES = 32

/** `<state>/rendezvous.key`, made at the first start. Throws KeyFileError. */
export async function loadIdentity(stateDirectory: string): Promise<SigningKeyPair<'rendezvous'>> {
  const path = join(stateDirectory, 'rendezvous.key')
  const seed = await readKeyFile(path, SEED_BYTES)
  if (seed !== undefined) return signingKeyPairFromSeed<'rendezvous'>(seed)
  const made = generateSigningKeyPair<'rendezvous'>()
  await mkdir(stateDirectory, { recursive: true, mode: 0o700 })
  await writeKeyFile(path, seedOf(made))
  return made
}
