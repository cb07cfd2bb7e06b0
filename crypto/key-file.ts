/** Key files: raw bytes, 0600, written so that a crash leaves the old file or the new one. */
import { constants, type Stats } from 'node:fs'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'

/** A key file that can't be trusted or read; the message says what to do. */
export class KeyFileError extends Error {
  override readonly name = 'KeyFileError'
  readonly code = 'ERR_KEY_FILE'
}

/** Undefined where there is no file. Throws KeyFileError when it can't be read, when others may read it,
 *  or when it does not hold exactly `length` bytes. */
export async function readKeyFile(path: string, length: number): Promise<Uint8Array | undefined> {
  const file = await openIfThere(path)
  if (file === undefined) return undefined
  try {
    assertPrivate(path, await file.stat(), length)
    return Uint8Array.from(await file.readFile())
  } finally {
    await file.close()
  }
}

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    // Without O_NONBLOCK a named pipe would hold us up for ever.
    return await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (cause) {
    if (isCode(cause, 'ENOENT')) return undefined
    throw new KeyFileError(`cannot read ${path}: ${reasonOf(cause)}`, { cause })
  }
}

function assertPrivate(path: string, stats: Stats, length: number): void {
  if (!stats.isFile()) throw new KeyFileError(`${path} is not a file (move it away)`)
  const mode = stats.mode & 0o777
  if ((mode & 0o077) !== 0) {
    throw new KeyFileError(
      `${path} has mode 0${mode.toString(8)}: others may read it (chmod 600 ${path})`,
    )
  }
  if (stats.size !== length) {
    throw new KeyFileError(
      `${path} has ${stats.size} bytes, want ${length} (restore it from a backup)`,
    )
  }
}

/** Mode 0600, and synced to disk when it resolves: a crash leaves the old file or the new one. Not for
 *  two writers of one path at once. Throws KeyFileError. */
export async function writeKeyFile(path: string, bytes: Uint8Array): Promise<void> {
  const temporary = `${path}.new`
  try {
    // Left by a crash, or by somebody else with a mode or a link of his choice.
    await rm(temporary, { force: true })
    await writeSynced(temporary, bytes)
    await rename(temporary, path)
    await syncDirectory(dirname(path))
  } catch (cause) {
    throw new KeyFileError(`cannot write ${path}: ${reasonOf(cause)}`, { cause })
  }
}

/** Gone from disk when it resolves, also after a crash; does nothing where there is no file. Throws
 *  KeyFileError. */
export async function removeKeyFile(path: string): Promise<void> {
  try {
    await rm(path, { force: true })
    await syncDirectory(dirname(path))
  } catch (cause) {
    throw new KeyFileError(`cannot remove ${path}: ${reasonOf(cause)}`, { cause })
  }
}

async function writeSynced(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'wx', 0o600)
  try {
    await file.writeFile(bytes)
    await file.sync()
  } finally {
    await file.close()
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
