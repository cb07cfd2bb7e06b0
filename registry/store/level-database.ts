/** The LevelDB of a directory, opened, and opened again after a batch has failed. */
import { Level } from 'level'
import { adviceAtStart, adviceWhileRunning } from './disk-fault.ts'
import { NOTHING, seal, versionOf } from './level-records.ts'
import { StoreError, type Version } from './store.ts'

/** Outside the key alphabet, so that no range of ours contains it. */
const REVISION_KEY = '\u0001revision'

export type LevelDatabase = Level<string, Uint8Array>

/** Says up to which revision a batch goes. */
export function markOf(revision: Version): { type: 'put'; key: string; value: Uint8Array } {
  return { type: 'put', key: REVISION_KEY, value: seal(revision, NOTHING) }
}

/** Opens or creates it. Throws StoreError (locked, unreadable, corrupt). */
export async function openLevel(
  directory: string,
): Promise<{ readonly database: LevelDatabase; readonly revision: Version }> {
  const database = new Level<string, Uint8Array>(directory, {
    keyEncoding: 'utf8',
    valueEncoding: 'view',
  })
  try {
    await database.open()
    return { database, revision: await revisionIn(database) }
  } catch (cause) {
    const problem = openingProblem(cause) + adviceAtStart(cause)
    throw new StoreError(`cannot open the store in ${directory}: ${problem}`, { cause })
  }
}

async function revisionIn(database: LevelDatabase): Promise<Version> {
  const stored = await database.get(REVISION_KEY)
  return stored === undefined ? 0n : versionOf(stored, REVISION_KEY)
}

/** LevelDB refuses all writes once one has failed: only opening it again reads what is on disk.
 *  Throws StoreError where it does not write yet, or lacks what was acknowledged.
 *  @param durable the last revision that was acknowledged; @param next one that was never given out */
export async function reopenLevel(
  database: LevelDatabase,
  { durable, next }: { readonly durable: Version; readonly next: Version },
): Promise<void> {
  try {
    await database.close()
    // An empty one in the place of what was there would be worse than none.
    await database.open({ createIfMissing: false })
    const found = await revisionIn(database)
    if (found < durable) {
      throw new StoreError(`it ends at revision ${found}, but ${durable} was acknowledged`)
    }
    const mark = markOf(next)
    await database.batch([mark], { sync: true })
  } catch (cause) {
    const problem = openingProblem(cause) + adviceWhileRunning(cause)
    throw new StoreError(`the store cannot be opened again: ${problem}`, { cause })
  }
}

function openingProblem(error: unknown): string {
  for (let at = error; at instanceof Error; at = at.cause) {
    const code = 'code' in at ? at.code : undefined
    if (code === 'LEVEL_LOCKED')
      return 'another registry is using it (stop it, or use another --state-dir)'
    if (code === 'LEVEL_CORRUPTION')
      return `it is corrupt: ${at.message} (restore it from a backup)`
    if (at.cause === undefined) return at.message
  }
  return String(error)
}
