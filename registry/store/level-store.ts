/** The embedded engine: LevelDB in the state directory, for one registry process. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Cancellable, Clock } from '../../protocol/clock.ts'
import { adviceWhileRunning } from './disk-fault.ts'
import { type LevelDatabase, markOf, openLevel, reopenLevel } from './level-database.ts'
import { entryOf, type InFlight, merged, seal, storedEntry, versionOf } from './level-records.ts'
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

/** Milliseconds from a failure to the next try to go on: an operator who made room does not wait long. */
const RECOVERY_MS = 3000

type Operation = { type: 'put'; key: string; value: Uint8Array } | { type: 'del'; key: string }

/** Commits that reach the disk in one synced batch. */
interface Group {
  readonly operations: Operation[]
  readonly done: PromiseWithResolvers<void>
}

export interface LevelStoreOptions {
  /** Called when a batch fails, and when another reason comes why the store cannot go on: till then it accepts nothing. */
  readonly failed?: (error: StoreError) => void
  /** Absent: a store that has failed stays so. */
  readonly recovery?: {
    readonly clock: Pick<Clock, 'after'>
    /** It writes again. What was under way when it failed is there or not, as after a crash. */
    readonly recovered: () => void
  }
}

/** Opens or creates the database in `directory`. Throws StoreError (locked, unreadable, corrupt). */
export async function openLevelStore(
  directory: string,
  options: LevelStoreOptions = {},
): Promise<Store> {
  const { database, revision } = await openLevel(directory)
  return new LevelStore(database, revision, options)
}

class LevelStore implements Store {
  readonly isShared = false
  readonly #database: LevelDatabase
  readonly #options: LevelStoreOptions
  readonly #inFlight = new Map<string, InFlight>()
  readonly #watchers = new Set<{ prefix: string; changed: (keys: readonly string[]) => void }>()
  #revision: Version
  /** The last one that was acknowledged. */
  #durable: Version
  #writing: Group | undefined
  #waiting: Group | undefined
  #failure: StoreError | undefined
  #nextTry: Cancellable | undefined
  #recovering: Promise<void> = Promise.resolve()
  #closed: Promise<void> | undefined

  constructor(database: LevelDatabase, revision: Version, options: LevelStoreOptions) {
    this.#database = database
    this.#revision = revision
    this.#durable = revision
    this.#options = options
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
    try {
      for await (const entry of merged(stored, pending, reverse)) {
        yield entry
        if (--left <= 0) return
      }
    } catch (cause) {
      // Also where it was opened again meanwhile, which ends what was being read.
      throw this.#failure ?? new StoreError('reading from the store failed', { cause })
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
    this.#nextTry?.cancel()
    await this.#recovering
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
        await this.#database.batch([...group.operations, markOf(revision)], { sync: true })
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
    this.#durable = revision
    group.done.resolve()
    for (const { prefix, changed } of [...this.#watchers]) {
      const touched = [...keys].filter((key) => key.startsWith(prefix))
      if (touched.length > 0) changed(touched)
    }
  }

  /** After a failed batch nobody knows what is on disk: nothing is accepted till that has been read again. */
  #fail(group: Group, cause: unknown): void {
    const why = cause instanceof Error ? cause.message : String(cause)
    const words = `writing to the store failed: ${why}${adviceWhileRunning(cause)}`
    const failure = new StoreError(words, { cause })
    this.#failure = failure
    group.done.reject(failure)
    this.#waiting?.done.reject(failure)
    this.#writing = undefined
    this.#waiting = undefined
    this.#options.failed?.(failure)
    this.#tryLater()
  }

  #tryLater(): void {
    if (this.#closed !== undefined) return
    this.#nextTry = this.#options.recovery?.clock.after(RECOVERY_MS, () => {
      this.#recovering = this.#recover()
    })
  }

  async #recover(): Promise<void> {
    // Of what failed some may be on disk: its revisions are never given to anything else.
    const next = this.#revision + 1n
    try {
      await reopenLevel(this.#database, { durable: this.#durable, next })
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      const isNews = error.message !== this.#failure?.message
      this.#failure = error
      if (isNews) this.#options.failed?.(error)
      return this.#tryLater()
    }
    this.#revision = next
    this.#durable = next
    this.#inFlight.clear()
    this.#failure = undefined
    this.#options.recovery?.recovered()
    for (const { changed } of [...this.#watchers]) changed([])
  }
}
