/** Key files: raw bytes, 0600, written so that a crash leaves the old file or the new one. */
import { type FileHandle, open, rename } from 'node:fs/promises'
import { dirname } from 'node:path'

/** A key file that can't be trusted or read; the message says what to do. */
export class KeyFileError extends Error {
  override readonly name = 'KeyFileError'
  readonly code = 'ERR_KEY_FILE'
}

/** Undefined where there is no file. Throws KeyFileError when others may read it, or when it does
 *  not hold exactly `length` bytes. */
export async function readKeyFile(path: string, length: number): Promise<Uint8Array | undefined> {
  let file: FileHandle
  try {
    file = await open(path, 'r')
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined
    throw new KeyFileError(`cannot read ${path}`, { cause })
  }
  try {
    const mode = (await file.stat()).mode & 0o777
    if ((mode & 0o077) !== 0) {
      throw new KeyFileError(
        `${path} has mode ${mode.toString(8)}: others may read it (chmod 600 ${path})`,
      )
    }
    const bytes = await file.readFile()
    if (bytes.length === length) return Uint8Array.from(bytes)
    throw new KeyFileError(
      `${path} has ${bytes.length} bytes, want ${length} (restore it from a backup)`,
    )
  } finally {
    await file.close()
  }
}

/** Synced to disk when it resolves. */
export async function writeKeyFile(path: string, bytes: Uint8Array): Promise<void> {
  const temporary = `${path}.new`
  const file = await open(temporary, 'w', 0o600)
  try {
    await file.chmod(0o600)
    await file.writeFile(bytes)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(temporary, path)
  const directory = await open(dirname(path), 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}
