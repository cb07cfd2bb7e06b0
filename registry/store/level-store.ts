/** The embedded engine: LevelDB in the state directory, for one registry process. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Level } from 'level'
import {
  type Commit,
  type CommitResult,
  checkCommit,
  type Entry,
  type Range,
  type Store,
  StoreError,
  type Version,
} from './store.ts'

/** Outside the key alphabet, so that no range of ours contains it. */
const REVISION_KEY = '\u0001revision'

type Operation = { type: 'put'; key: string; value: Uint8Array } | { type: 'del'; key: string }

/** Commits that reach the disk in one synced batch. */
interface Group {
  readonly operations: Operation[]
  readonly done: PromiseWithResolvers<void>
}

/** A write that was accepted and is not known to be on disk; no value means deleted. */
interface InFlight {
  readonly version: Version
  readonly value?: Uint8Array
}

export interface LevelStoreOptions {
  /** Called once when a batch fails: the store accepts nothing more, and the process should end. */
  readonly failed?: (error: StoreError) => void
}

/** Opens or creates the database in `directory`. Throws StoreError (locked, unreadable, corrupt). */
export async function openLevelStore(
  directory: string,
  options: LevelStoreOptions = {},
): Promise<Store> {
  const database = new Level<string, Uint8Array>(directory, {
    keyEncoding: 'utf8',
    valueEncoding: 'view',
  })
  try {
    await database.open()
    const stored = await database.get(REVISION_KEY)
    const revision = stored === undefined ? 0n : versionOf(stored, REVISION_KEY)
    return new LevelStore(database, revision, options.failed ?? (() => undefined))
  } catch (cause) {
    throw new StoreError(`cannot open the store in ${directory}: ${openingProblem(cause)}`, {
      cause,
    })
  }
}

class LevelStore implements Store {
  readonly isShared = false
  readonly #database: Level<string, Uint8Array>
  readonly #failed: (error: StoreError) => void
  readonly #inFlight = new Map<string, InFlight>()
  readonly #watchers = new Set<{ prefix: string; changed: (keys: readonly string[]) => void }>()
  #revision: bigint
  #writing: Group | undefined
  #waiting: Group | undefined
  #failure: StoreError | undefined
  #closed: Promise<void> | undefined

  constructor(
    database: Level<string, Uint8Array>,
    revision: bigint,
    failed: (error: StoreError) => void,
  ) {
    this.#database = database
    this.#revision = revision
    this.#failed = failed
  }

  async get(key: string): Promise<Entry | undefined> {
    this.#assertUsable()
    const pending = this.#inFlight.get(key)
    if (pending !== undefined) return entryOf(key, pending)
    const stored = this.#database.getSync(key)
    return stored === undefined ? undefined : storedEntry(key, stored)
  }

  async *list(range: Range): AsyncIterable<Entry> {
    this.#assertUsable()
    // Iterator and copy are taken in one turn: LevelDB's iterator is a snapshot from its creation.
    const reverse = range.reverse ?? false
    const stored = this.#database.iterator({ gte: range.gte, lt: range.lt, reverse })
    const pending = [...this.#inFlight]
      .filter(([key]) => key >= range.gte && key < range.lt)
      .sort(([a], [b]) => (a < b === reverse ? 1 : -1))
    let left = range.limit ?? Number.POSITIVE_INFINITY
    if (left <= 0) return stored.close()
    for await (const entry of merged(stored, pending, reverse)) {
      yield entry
      if (--left <= 0) return
    }
  }

  async commit(commit: Commit): Promise<CommitResult> {
    this.#assertUsable()
    checkCommit(commit)
    for (const { key, version } of commit.checks ?? []) {
      if (this.#versionOf(key) !== version) return { ok: false }
    }
    const operations = this.#accept(commit)
    const durable =
      operations.length === 0
        ? (this.#waiting ?? this.#writing)?.done.promise
        : this.#enqueue(operations)
    return { ok: true, revision: this.#revision, durable: durable ?? Promise.resolve() }
  }

  watch(prefix: string, changed: (keys: readonly string[]) => void): { cancel(): void } {
    const watcher = { prefix, changed }
    this.#watchers.add(watcher)
    return { cancel: () => void this.#watchers.delete(watcher) }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#close()
    await this.#closed
  }

  async #close(): Promise<void> {
    this.#watchers.clear()
    while (this.#waiting ?? this.#writing) {
      await Promise.allSettled([(this.#waiting ?? this.#writing)?.done.promise])
    }
    await this.#database.close()
  }

  #assertUsable(): void {
    if (this.#failure) throw this.#failure
    if (this.#closed !== undefined) throw new StoreError('the store is closed')
  }

  #versionOf(key: string): Version {
    const pending = this.#inFlight.get(key)
    if (pending !== undefined) return pending.value === undefined ? 0n : pending.version
    const stored = this.#database.getSync(key)
    return stored === undefined ? 0n : versionOf(stored, key)
  }

  #accept(commit: Commit): Operation[] {
    const puts = commit.puts ?? []
    const dels = commit.dels ?? []
    if (puts.length + dels.length === 0) return []
    const version = ++this.#revision
    for (const key of dels) this.#inFlight.set(key, { version })
    for (const { key, value } of puts) this.#inFlight.set(key, { version, value })
    return [
      ...dels.map((key) => ({ type: 'del' as const, key })),
      ...puts.map(({ key, value }) => ({ type: 'put' as const, key, value: seal(version, value) })),
    ]
  }

  #enqueue(operations: Operation[]): Promise<void> {
    if (this.#waiting === undefined) {
      this.#waiting = { operations: [], done: Promise.withResolvers<void>() }
      // Who waits for it decides what a failure means; unobserved ones are told by `failed`.
      this.#waiting.done.promise.catch(() => undefined)
      if (this.#writing === undefined) void this.#writeAll()
    }
    for (const operation of operations) this.#waiting.operations.push(operation)
    return this.#waiting.done.promise
  }

  /** Group commit: whatever was accepted while the last batch was syncing goes into the next one. */
  async #writeAll(): Promise<void> {
    await nextTurn()
    while (this.#waiting !== undefined) {
      const group = this.#waiting
      const revision = this.#revision
      this.#writing = group
      this.#waiting = undefined
      try {
        const mark = { type: 'put' as const, key: REVISION_KEY, value: seal(revision, NOTHING) }
        await this.#database.batch([...group.operations, mark], { sync: true })
      } catch (cause) {
        this.#fail(group, cause)
        return
      }
      this.#settle(group, revision)
    }
  }

  #settle(group: Group, revision: bigint): void {
    const keys = new Set(group.operations.map(({ key }) => key))
    for (const key of keys) {
      const pending = this.#inFlight.get(key)
      if (pending !== undefined && pending.version <= revision) this.#inFlight.delete(key)
    }
    this.#writing = undefined
    group.done.resolve()
    for (const { prefix, changed } of [...this.#watchers]) {
      const touched = [...keys].filter((key) => key.startsWith(prefix))
      if (touched.length > 0) changed(touched)
    }
  }

  /** Fail-stop: after a failed batch nobody knows what is on disk, so nothing more is accepted. */
  #fail(group: Group, cause: unknown): void {
    const why = cause instanceof Error ? cause.message : String(cause)
    const words = `writing to the store failed: ${why}${adviceOn(why)}`
    this.#failure = new StoreError(words, { cause })
    group.done.reject(this.#failure)
    this.#waiting?.done.reject(this.#failure)
    this.#writing = undefined
    this.#waiting = undefined
    this.#failed(this.#failure)
  }
}

const NOTHING = new Uint8Array()

/** Stored form: version (8 bytes, big-endian), value. */
function seal(version: Version, value: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(8 + value.length)
  new DataView(bytes.buffer).setBigUint64(0, version)
  bytes.set(value, 8)
  return bytes
}

function versionOf(stored: Uint8Array, key: string): Version {
  if (stored.length < 8)
    throw new StoreError(`record "${key}" has no version: the store is corrupt`)
  return new DataView(stored.buffer, stored.byteOffset, stored.byteLength).getBigUint64(0)
}

function storedEntry(key: string, stored: Uint8Array): Entry {
  return { key, version: versionOf(stored, key), value: stored.subarray(8) }
}

function entryOf(key: string, { version, value }: InFlight): Entry | undefined {
  return value === undefined ? undefined : { key, version, value }
}

/** Both are in order; what is in flight hides what is stored. */
async function* merged(
  stored: AsyncIterable<[string, Uint8Array]>,
  pending: readonly (readonly [string, InFlight])[],
  reverse: boolean,
): AsyncIterable<Entry> {
  let next = 0
  for await (const [key, value] of stored) {
    let hidden = false
    for (let first = pending[next]; first !== undefined; first = pending[++next]) {
      const [pendingKey, write] = first
      if (pendingKey !== key && pendingKey > key !== reverse) break
      const entry = entryOf(pendingKey, write)
      if (entry !== undefined) yield entry
      hidden ||= pendingKey === key
    }
    if (!hidden) yield storedEntry(key, value)
  }
  for (const [key, write] of pending.slice(next)) {
    const entry = entryOf(key, write)
    if (entry !== undefined) yield entry
  }
}

function openingProblem(error: unknown): string {
  for (let at = error; at instanceof Error; at = at.cause) {
    const code = 'code' in at ? at.code : undefined
    if (code === 'LEVEL_LOCKED')
      return 'another registry is using it (stop it, or use another --state-dir)'
    if (code === 'LEVEL_CORRUPTION')
      return `it is corrupt: ${at.message} (restore it from a backup)`
    if (at.cause === undefined) return at.message + adviceOn(at.message)
  }
  return String(error)
}

/** What the operator can do about the disk, in brackets. */
function adviceOn(message: string): string {
  if (/no space left/i.test(message)) {
    return ' (free some space, and start the registry again: what it acknowledged is there)'
  }
  if (/read-only file system/i.test(message)) {
    return ' (make it writable, or name another directory by --store level:DIRECTORY)'
  }
  if (/permission denied/i.test(message)) {
    return ' (let the user of the registry own the directory)'
  }
  return ''
}
