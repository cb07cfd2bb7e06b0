/** Records over a store: typed reads, and transactions that are retried until nothing they read had changed. */
import type { Clock } from '../../protocol/clock.ts'
import { type Collection, encodeRecord, idOf, keyOf, parseRecord } from './collection.ts'
import type { Range, Store, Version } from './store.ts'

export interface ListOptions {
  /** Only ids that begin with it. */
  readonly under?: string
  /** Only ids after it: the last id of the page before. Not with `reverse`. */
  readonly after?: string
  /** Only ids before it: as `after`, for `reverse`. */
  readonly before?: string
  readonly limit?: number
  readonly reverse?: boolean
}

export interface Item<T> {
  readonly id: string
  readonly value: T
}

export interface Transaction {
  get<T>(of: Collection<T>, id: string): Promise<T | undefined>
  /** Changes of what is returned make the transaction retry; *new* ids do not: for that, also
   *  read and write a head record of the range, as every mutation of an organization does. */
  list<T>(of: Collection<T>, options?: ListOptions): Promise<Item<T>[]>
  put<T>(of: Collection<T>, id: string, value: T): void
  delete(of: Collection<unknown>, id: string): void
}

export interface Database {
  readonly store: Store
  get<T>(of: Collection<T>, id: string): Promise<T | undefined>
  list<T>(of: Collection<T>, options?: ListOptions): AsyncIterable<Item<T>>
  /** Runs `body` and commits its writes atomically if nothing it read has changed, else runs it
   *  again: it must have no effect but on the transaction. Bodies of one `scope` (an organization,
   *  a user) take turns in this process; never call it for the same scope inside a body.
   *  Resolves when durable. What `body` throws is thrown only if what it had read still holds.
   *  Throws ContentionError after many attempts. */
  transact<R>(scope: string, body: (transaction: Transaction) => Promise<R>): Promise<R>
}

export interface DatabaseParts {
  readonly clock: Pick<Clock, 'sleep'>
  readonly randomBytes: (length: number) => Uint8Array
}

/** Attempts before giving up. With jitter up to 64 ms each this is some four seconds of contention, of the processor's
 *  own time apart: of several registries one may lose many times in a row. */
const MAX_ATTEMPTS = 120
const MAX_JITTER_MS = 64

const ALL = Number.MAX_SAFE_INTEGER

/** Other writers always came first. */
export class ContentionError extends Error {
  override readonly name = 'ContentionError'
  readonly code = 'ERR_STORE_CONTENTION'

  constructor(scope: string) {
    super(`"${scope}" was changed by others during each of ${MAX_ATTEMPTS} attempts: try again`)
  }
}

export function openDatabase(store: Store, parts: DatabaseParts): Database {
  const turns = new Map<string, Promise<unknown>>()
  return {
    store,
    async get(of, id) {
      const entry = await store.get(keyOf(of, id))
      return entry && parseRecord(of, entry)
    },
    async *list(of, options = {}) {
      for await (const entry of store.list(rangeOf(of, options))) {
        yield { id: idOf(of, entry.key), value: parseRecord(of, entry) }
      }
    },
    async transact(scope, body) {
      const before = turns.get(scope)
      // Released when the commit is accepted, before it is synced: the next body reads it already.
      const accepted = (before ?? Promise.resolve()).then(() => attempt(store, parts, scope, body))
      const turn = accepted.catch(() => undefined)
      turns.set(scope, turn)
      try {
        const { result, durable } = await accepted
        await durable
        return result
      } finally {
        if (turns.get(scope) === turn) turns.delete(scope)
      }
    },
  }
}

/** Wrapped, so that awaiting the turn does not await the sync. */
interface Accepted<R> {
  readonly result: R
  readonly durable: Promise<void>
}

async function attempt<R>(
  store: Store,
  { clock, randomBytes }: DatabaseParts,
  scope: string,
  body: (transaction: Transaction) => Promise<R>,
): Promise<Accepted<R>> {
  for (let count = 1; count <= MAX_ATTEMPTS; count++) {
    const recorded = record(store)
    const outcome = await run(() => body(recorded.transaction))
    const committed = await store.commit(outcome.ok ? recorded.all() : recorded.checksOnly())
    if (committed.ok && !outcome.ok) throw outcome.error
    if (committed.ok && outcome.ok) return { result: outcome.result, durable: committed.durable }
    const [jitter = 0] = randomBytes(1)
    await clock.sleep((jitter / 256) * Math.min(MAX_JITTER_MS, 2 ** count))
  }
  throw new ContentionError(scope)
}

type Outcome<R> = { ok: true; result: R } | { ok: false; error: unknown }

async function run<R>(body: () => Promise<R>): Promise<Outcome<R>> {
  try {
    return { ok: true, result: await body() }
  } catch (error) {
    return { ok: false, error }
  }
}

/** A transaction, and what it read and wrote. */
function record(store: Store) {
  const read = new Map<string, { version: Version; value: Uint8Array | undefined }>()
  const written = new Map<string, Uint8Array | undefined>()
  const transaction: Transaction = {
    async get(of, id) {
      const key = keyOf(of, id)
      if (!read.has(key)) {
        const entry = await store.get(key)
        read.set(key, { version: entry?.version ?? 0n, value: entry?.value })
      }
      const value = written.has(key) ? written.get(key) : read.get(key)?.value
      return value && parseRecord(of, { key, value, version: 0n })
    },
    async list(of, options = {}) {
      // With writes of our own to take account of, the limit is applied only after them.
      const range = rangeOf(of, written.size === 0 ? options : { ...options, limit: ALL })
      const found = new Map<string, Uint8Array | undefined>()
      for await (const { key, version, value } of store.list(range)) {
        if (!read.has(key)) read.set(key, { version, value })
        found.set(key, read.get(key)?.value)
      }
      for (const [key, value] of written) {
        if (key >= range.gte && key < range.lt) found.set(key, value)
      }
      return itemsOf(of, found, options)
    },
    put: (of, id, value) => void written.set(keyOf(of, id), encodeRecord(of, value)),
    delete: (of, id) => void written.set(keyOf(of, id), undefined),
  }
  const checks = () => [...read].map(([key, { version }]) => ({ key, version }))
  return {
    transaction,
    checksOnly: () => ({ checks: checks() }),
    all: () => ({
      checks: checks(),
      puts: [...written].flatMap(([key, value]) => (value === undefined ? [] : [{ key, value }])),
      dels: [...written].flatMap(([key, value]) => (value === undefined ? [key] : [])),
    }),
  }
}

function itemsOf<T>(
  of: Collection<T>,
  found: ReadonlyMap<string, Uint8Array | undefined>,
  { reverse = false, limit }: ListOptions,
): Item<T>[] {
  return [...found]
    .sort(([a], [b]) => (a < b === reverse ? 1 : -1))
    .flatMap(([key, value]) =>
      value ? [{ id: idOf(of, key), value: parseRecord(of, { key, value, version: 0n }) }] : [],
    )
    .slice(0, limit)
}

function rangeOf(of: Collection<unknown>, options: ListOptions): Range {
  const { under = '', after, before, limit, reverse } = options
  const prefix = keyOf(of, under)
  return {
    // "!" is the first character a key may have, "\x7f" follows the last.
    gte: after === undefined ? prefix : `${keyOf(of, after)}!`,
    lt: before === undefined ? `${prefix}\u007f` : keyOf(of, before),
    ...(limit !== undefined && { limit }),
    ...(reverse !== undefined && { reverse }),
  }
}
