/** The engine that a location names, opened. */
import { mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Clock } from '../../protocol/clock.ts'
import { type EtcdParts, openEtcdStore } from './etcd-store.ts'
import { openLevelStore } from './level-store.ts'
import type { StoreLocation } from './location.ts'
import { type Store, StoreError } from './store.ts'

export interface OpenStoreParts extends EtcdParts {
  /** Where a level store that fails is to go on once its disk does; see level-store.ts. */
  readonly recovery?: { readonly clock: Pick<Clock, 'after'> }
}

/** Throws StoreError. Says nothing of the schema: see schema.ts. */
export async function openStore(location: StoreLocation, parts: OpenStoreParts): Promise<Store> {
  if (location.kind === 'etcd') return openEtcdStore(location, parts)
  try {
    await makeDirectory(location.directory)
  } catch (cause) {
    const why = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause)
    throw new StoreError(
      `--store level:${location.directory}: the directory cannot be made (${why}): choose one that you may write`,
      { cause },
    )
  }
  const { log, recovery } = parts
  return openLevelStore(location.directory, {
    failed: (error) => log('error', 'store.failed', { error }),
    ...(recovery !== undefined && {
      recovery: { ...recovery, recovered: () => log('warn', 'store.recovered') },
    }),
  })
}

/** With its parents. Node's own way says ENOENT of a read-only disk, and never ends below /proc. */
async function makeDirectory(path: string): Promise<void> {
  if (await isMade(path)) return
  await makeDirectory(dirname(path))
  await mkdir(path, { mode: 0o700 })
}

/** False where its parent is missing. */
async function isMade(path: string): Promise<boolean> {
  try {
    await mkdir(path, { mode: 0o700 })
    return true
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'EEXIST') return true
    if (code === 'ENOENT' && dirname(path) !== path) return false
    throw error
  }
}
