/** The file of an organization's root key, for its owner to keep: 32 bytes as the registry had them, or
 *  sealed with a passphrase. 0600 either way. */
import { readFile, stat } from 'node:fs/promises'
import { equal } from '../../crypto/bytes.ts'
import { readKeyFile, writeKeyFile } from '../../crypto/key-file.ts'
import { openWithPassphrase, sealedLength, sealWithPassphrase } from '../../crypto/passphrase.ts'
import { seedOf, signingKeyPairFromSeed } from '../../crypto/signing.ts'
import type { RootKeyPair } from '../../protocol/keys.ts'
import { OperatorError } from '../errors.ts'

const SEED_BYTES = 32
const PURPOSE = 'nexodus root key'
/** Characters. */
const SHORTEST_PASSPHRASE = 12

/** Undefined where there is no file. Throws OperatorError (ERR_ROOT_KEY), or KeyFileError. */
export async function readRootFile(
  path: string,
  passphrase: string | undefined,
): Promise<RootKeyPair | undefined> {
  const isSealed = (await sizeOf(path)) === sealedLength(SEED_BYTES)
  const bytes = await readKeyFile(path, isSealed ? sealedLength(SEED_BYTES) : SEED_BYTES)
  if (bytes === undefined || !isSealed) return bytes && signingKeyPairFromSeed<'root'>(bytes)
  if (passphrase === undefined) {
    throw wrong(`${path} is sealed: name a file with its passphrase (--passphrase-file)`)
  }
  const seed = await openWithPassphrase(bytes, passphrase, PURPOSE)
  if (seed === undefined) throw wrong(`${path} does not open: another passphrase, or damaged`)
  return signingKeyPairFromSeed<'root'>(seed)
}

/** Synced to disk when it resolves, and read back. Throws OperatorError (ERR_ROOT_KEY), or KeyFileError. */
export async function writeRootFile(
  path: string,
  root: RootKeyPair,
  passphrase: string | undefined,
): Promise<void> {
  const seed = seedOf(root)
  const bytes =
    passphrase === undefined ? seed : await sealWithPassphrase(seed, passphrase, PURPOSE)
  await writeKeyFile(path, bytes)
  const written = await readRootFile(path, passphrase)
  if (written !== undefined && equal(written.publicKey, root.publicKey)) return
  throw wrong(`${path} does not hold what was written (is the disk failing?)`)
}

/** The first line of a file. Undefined where none is named. Throws OperatorError (ERR_ROOT_KEY). */
export async function readPassphrase(path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined
  const [line = ''] = (await textOf(path)).split(/\r?\n/)
  if (line.length >= SHORTEST_PASSPHRASE) return line
  throw wrong(
    `${path}: the passphrase in its first line has ${line.length} characters, want ${SHORTEST_PASSPHRASE} at least`,
  )
}

/** A file, or standard input for `-`. Throws OperatorError (ERR_ROOT_KEY). */
export async function textOf(path: string): Promise<string> {
  try {
    return await readFile(path === '-' ? '/dev/stdin' : path, 'utf8')
  } catch (cause) {
    throw wrong(`cannot read ${path}`, cause)
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size
  } catch (error) {
    // readKeyFile says what is wrong, where it is not just absent.
    if (error instanceof Error) return undefined
    throw error
  }
}

function wrong(message: string, cause?: unknown): OperatorError {
  return new OperatorError('ERR_ROOT_KEY', message, cause === undefined ? {} : { cause })
}
