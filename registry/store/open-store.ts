/** The engine that a location names, opened. */
import { mkdir } from 'node:fs/promises'
import { type EtcdParts, openEtcdStore } from './etcd-store.ts'
import { openLevelStore } from './level-store.ts'
import type { StoreLocation } from './location.ts'
import { type Store, StoreError } from './store.ts'

export interface OpenStoreParts extends EtcdParts {
  /** Called once when the store has failed for good; see level-store.ts. */
  readonly failed?: (error: StoreError) => void
}

/** Throws StoreError. Says nothing of the schema: see schema.ts. */
export async function openStore(location: StoreLocation, parts: OpenStoreParts): Promise<Store> {
  if (location.kind === 'etcd') return openEtcdStore(location, parts)
  try {
    await mkdir(location.directory, { recursive: true, mode: 0o700 })
  } catch (cause) {
    const why = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause)
    throw new StoreError(
      `--store level:${location.directory}: the directory cannot be made (${why}): choose one that you may write`,
      { cause },
    )
  }
  return openLevelStore(location.directory, parts.failed ? { failed: parts.failed } : {})
}
