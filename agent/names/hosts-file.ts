/** Hosts file: written as a whole or, where it is mounted by itself as containers have it, in place. */
import {
  chmod,
  chown,
  open,
  readFile,
  realpath,
  rename,
  stat,
  unlink,
  writeFile,
} from 'node:fs/promises'
import { whileLocked } from './hosts-lock.ts'
import { HOSTS_LIMITS } from './hosts-text.ts'

/** Reads it, and writes it where `change` gives another text; its mode and owner stay. Throws what the system says, and
 *  an Error where the file is longer than is safe to change. */
export async function changeHostsFile(
  path: string,
  change: (text: string) => string | undefined,
): Promise<void> {
  const file = await realpath(path)
  await whileLocked(file, () => changeNow(file, change))
}

async function changeNow(
  file: string,
  change: (text: string) => string | undefined,
): Promise<void> {
  const { size, mode, uid, gid } = await stat(file)
  if (size > HOSTS_LIMITS.file)
    throw new Error(`${file} has ${size} bytes, at most ${HOSTS_LIMITS.file} are changed`)
  const wanted = change(await readFile(file, 'latin1'))
  if (wanted === undefined) return
  const fresh = `${file}.nexd-${process.pid}`
  try {
    await writeFile(fresh, wanted, { encoding: 'latin1', flag: 'wx', mode: 0o600, flush: true })
    await chown(fresh, uid, gid)
    await chmod(fresh, mode & 0o7777)
    await rename(fresh, file)
  } catch (error) {
    await unlink(fresh).catch(() => undefined)
    if (!isInPlaceOnly(error)) throw error
    await writeInPlace(file, wanted)
  }
}

/** A mount of its own (EBUSY, EXDEV), or a folder that may not be changed. */
function isInPlaceOnly(error: unknown): boolean {
  const codes = ['EBUSY', 'EXDEV', 'EROFS', 'EACCES', 'EPERM']
  return error instanceof Error && 'code' in error && codes.includes(String(error.code))
}

/** Longer first, then cut: a reader in between sees every line of the old or the new text. */
async function writeInPlace(file: string, text: string): Promise<void> {
  const bytes = Buffer.from(text, 'latin1')
  const handle = await open(file, 'r+')
  try {
    await handle.write(bytes, 0, bytes.length, 0)
    await handle.truncate(bytes.length)
    await handle.sync()
  } finally {
    await handle.close()
  }
}
