/** Backup and restore of a registry: its records and, where they are files, its keys. */
import { createReadStream } from 'node:fs'
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { equal } from '../crypto/bytes.ts'
import { readKeyFile, writeKeyFile } from '../crypto/key-file.ts'
import { ConfigError } from './config.ts'
import { type BackupItem, encodeBackup, parseBackup } from './store/backup-format.ts'
import { ALL_RECORDS, fill, type StoredRecord } from './store/copy.ts'
import { formatStoreLocation, type StoreLocation } from './store/location.ts'
import { type OpenStoreParts, openStore } from './store/open-store.ts'
import { checkSchema, SCHEMA_VERSION, schemaVersion } from './store/schema.ts'
import { type Store, StoreError } from './store/store.ts'

export interface BackedUp {
  readonly store: Store
  readonly stateDirectory: string
  /** ISO 8601. */
  readonly createdAt: string
}

/** One snapshot of the records, then the key files: a key is always written before what names it. */
export async function* backupLines({
  store,
  stateDirectory,
  createdAt,
}: BackedUp): AsyncIterable<string> {
  const schema = (await schemaVersion(store)) ?? SCHEMA_VERSION
  const items = async function* (): AsyncIterable<BackupItem> {
    for await (const { key, value } of store.list(ALL_RECORDS)) yield { key, value }
    yield* keyFiles(stateDirectory, store.isShared)
  }
  yield* encodeBackup({ schema, createdAt }, items())
}

/** The rendezvous' key is this registry's own: another one of the same store has another. */
async function* keyFiles(stateDirectory: string, isShared: boolean): AsyncIterable<BackupItem> {
  for (const folder of ['', 'roots', 'issuers']) {
    const names = await readdir(join(stateDirectory, folder)).catch(() => [])
    for (const name of names.filter((each) => /\.key(\.next)?$/.test(each)).sort()) {
      const file = join(folder, name)
      if (file === 'rendezvous.key' && isShared) continue
      const path = join(stateDirectory, file)
      const value = await readKeyFile(path, (await stat(path)).size)
      if (value !== undefined) yield { file, value }
    }
  }
}

/** The file is there when all of it is on disk; mode 0600. Throws ConfigError. */
export async function writeBackup(path: string, lines: AsyncIterable<string>): Promise<void> {
  const temporary = `${path}.new`
  try {
    await rm(temporary, { force: true })
    const file = await open(temporary, 'wx', 0o600)
    try {
      for await (const line of lines) await file.write(line)
      await file.sync()
    } finally {
      await file.close()
    }
    for await (const _ of parseBackup(linesOf(temporary))); // to its end, or throws
    await rename(temporary, path)
  } catch (cause) {
    await rm(temporary, { force: true })
    if (cause instanceof StoreError) throw cause
    throw new ConfigError(`${path}: the backup was not written: ${messageOf(cause)}`, { cause })
  }
}

export interface RestoreParts extends OpenStoreParts {
  readonly location: StoreLocation
  readonly stateDirectory: string
}

/** Checks the whole backup first. The target must be empty, or with level is kept beside the restored
 *  one; key files are made where they are missing, and never overwritten. What was restored, in words.
 *  Throws StoreError or ConfigError. */
export async function restoreBackup(path: string, parts: RestoreParts): Promise<string> {
  const { location, stateDirectory } = parts
  const keys = await checkedKeyFiles(path, stateDirectory)
  const count = await (location.kind === 'level'
    ? restoreLevel(path, location.directory, parts)
    : restoreInto(path, location, parts))
  for (const { file, value } of keys) {
    await mkdir(dirname(join(stateDirectory, file)), { recursive: true, mode: 0o700 })
    await writeKeyFile(join(stateDirectory, file), value)
  }
  return `${count} records are in ${formatStoreLocation(location)}, ${keys.length} key files in ${stateDirectory}`
}

/** Those of the backup that are not there yet. Throws where another key is in the place of one. */
async function checkedKeyFiles(path: string, stateDirectory: string) {
  const missing: { file: string; value: Uint8Array }[] = []
  for await (const item of parseBackup(linesOf(path))) {
    if (!('file' in item)) continue
    const place = join(stateDirectory, item.file)
    const known = await readKeyFile(place, item.value.length)
    if (known === undefined) missing.push(item)
    else if (!equal(known, item.value)) {
      throw new ConfigError(
        `${place} is another key than the backup's: nothing was restored (move it away, or restore into another --state-dir)`,
      )
    }
  }
  return missing
}

/** Beside the old one first: whatever breaks off, one of the two is whole. */
async function restoreLevel(path: string, directory: string, parts: RestoreParts): Promise<number> {
  const restored = `${directory}.restored`
  await assertNotInUse(directory, parts)
  await rm(restored, { recursive: true, force: true })
  const count = await restoreInto(path, { kind: 'level', directory: restored }, parts)
  const before = `${directory}.before-restore`
  await rm(before, { recursive: true, force: true })
  await rename(directory, before)
  await rename(restored, directory)
  return count
}

async function assertNotInUse(directory: string, parts: RestoreParts): Promise<void> {
  await using _store = await openStore({ kind: 'level', directory }, parts)
}

async function restoreInto(
  path: string,
  location: StoreLocation,
  parts: RestoreParts,
): Promise<number> {
  await using store = await openStore(location, parts)
  const count = await fill(store, recordsOf(path))
  await checkSchema(store)
  return count
}

async function* recordsOf(path: string): AsyncIterable<StoredRecord> {
  for await (const item of parseBackup(linesOf(path))) if ('key' in item) yield item
}

async function* linesOf(path: string): AsyncIterable<string> {
  const file = createReadStream(path, 'utf8')
  try {
    yield* createInterface({ input: file, crlfDelay: Number.POSITIVE_INFINITY })
  } catch (cause) {
    throw new ConfigError(`${path}: cannot be read: ${messageOf(cause)}`, { cause })
  } finally {
    file.destroy()
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
