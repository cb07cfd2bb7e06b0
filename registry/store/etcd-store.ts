/** The engine for several registries at once: an etcd cluster, version 3.4 or later, spoken to by its JSON
 *  gateway. Records share one prefix of its keys. */
import { fromBase64, toHex } from '../../crypto/bytes.ts'
import type { RandomBytes } from '../../crypto/random.ts'
import type { Log } from '../../protocol/log.ts'
import { type ClientClock, type EtcdClient, openEtcdClient } from './etcd-client.ts'
import { commitTo } from './etcd-commit.ts'
import { EtcdFailure } from './etcd-failure.ts'
import { LANE_LIFETIME, LANE_PREFIX, Lanes, parseLaneUse } from './etcd-lanes.ts'
import { CommitLock } from './etcd-lock.ts'
import { EtcdWatch } from './etcd-watch.ts'
import { chunksOf, KeySpace, parseRange, type RangeAnswer } from './etcd-wire.ts'
import type { EtcdLocation } from './location.ts'
import {
  type Commit,
  type CommitResult,
  checkCommit,
  type Entry,
  type Range,
  type Store,
  StoreError,
} from './store.ts'

export interface EtcdParts {
  readonly clock: ClientClock
  readonly randomBytes: RandomBytes
  readonly log: Log
}

/** Records of one request; each may have MAX_VALUE_BYTES. */
const PAGE = 100
/** Every record's key lies between. */
const FIRST_KEY = '!'
const LAST_KEY = '\u007f'

/** Throws StoreError where the cluster can't be reached, or refuses us. */
export async function openEtcdStore(location: EtcdLocation, parts: EtcdParts): Promise<Store> {
  const client = await openEtcdClient(location, parts.clock)
  try {
    const keys = new KeySpace(location.prefix)
    const { header } = await ranged(client, { key: keys.key(LAST_KEY) })
    await sweepLanes(client, keys, parts.clock.now())
    return new EtcdStore(client, keys, parts, header.revision)
  } catch (error) {
    client[Symbol.dispose]()
    throw error
  }
}

class EtcdStore implements Store {
  readonly isShared = true
  readonly #client: EtcdClient
  readonly #keys: KeySpace
  readonly #parts: EtcdParts
  readonly #lanes: Lanes
  readonly #lock: CommitLock
  readonly #watch: EtcdWatch
  readonly #owner: string
  #commits = 0
  /** The newest that we know of. */
  #revision: bigint
  #closed: Promise<void> | undefined

  constructor(client: EtcdClient, keys: KeySpace, parts: EtcdParts, revision: bigint) {
    this.#client = client
    this.#keys = keys
    this.#parts = parts
    this.#revision = revision
    this.#owner = toHex(parts.randomBytes(12))
    this.#lanes = new Lanes(this.#owner)
    this.#lock = new CommitLock({ client, keys, clock: parts.clock })
    const range = { key: keys.key(FIRST_KEY), range_end: keys.key(LAST_KEY) }
    this.#watch = new EtcdWatch({ client, keys, range, clock: parts.clock, log: parts.log })
  }

  async get(key: string): Promise<Entry | undefined> {
    this.#assertOpen()
    const { kvs, header } = await ranged(this.#client, { key: this.#keys.key(key) })
    this.#sawRevision(header.revision)
    return kvs[0] && this.#keys.entry(kvs[0])
  }

  async *list({ gte, lt, reverse = false, limit }: Range): AsyncIterable<Entry> {
    let left = limit ?? Number.POSITIVE_INFINITY
    let [from, to] = [gte, lt]
    let revision: bigint | undefined
    while (left > 0 && from < to) {
      this.#assertOpen()
      const wanted = { key: this.#keys.key(from), range_end: this.#keys.key(to) }
      const page = await this.#page(wanted, Math.min(PAGE, left), reverse, revision)
      // All pages are of one revision.
      revision ??= page.header.revision
      for (const each of page.kvs) yield this.#keys.entry(each)
      const last = page.kvs.at(-1)
      if (!page.more || last === undefined) return
      left -= page.kvs.length
      if (reverse) to = this.#keys.name(last.key)
      else from = `${this.#keys.name(last.key)}\u0000`
    }
  }

  async #page(range: object, limit: number, reverse: boolean, revision: bigint | undefined) {
    try {
      return await ranged(this.#client, {
        ...range,
        limit: String(limit),
        ...{ sort_order: reverse ? 'DESCEND' : 'ASCEND', sort_target: 'KEY' },
        ...(revision !== undefined && { revision: String(revision) }),
      })
    } catch (cause) {
      if (!(cause instanceof EtcdFailure) || !cause.isCompacted) throw cause
      throw new StoreError(
        'etcd was compacted while records were listed: try again (and compact by time, an hour at least: --auto-compaction-retention)',
        { cause },
      )
    }
  }

  async commit(commit: Commit): Promise<CommitResult> {
    this.#assertOpen()
    checkCommit(commit)
    const result = await commitTo(
      {
        ...{ client: this.#client, keys: this.#keys, lanes: this.#lanes, lock: this.#lock },
        clock: this.#parts.clock,
        newId: () => `${this.#owner}-${this.#commits++}`,
      },
      commit,
    )
    if (result.ok) this.#sawRevision(result.revision)
    return result
  }

  watch(prefix: string, changed: (keys: readonly string[]) => void): { cancel(): void } {
    return this.#watch.watch(prefix, changed, this.#revision)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#close()
    await this.#closed
  }

  async #close(): Promise<void> {
    await this.#watch[Symbol.asyncDispose]()
    await deleteLanes(this.#client, this.#keys, this.#lanes.unused()).catch(() => undefined)
    this.#client[Symbol.dispose]()
  }

  #assertOpen(): void {
    if (this.#closed !== undefined) throw new StoreError('the store is closed')
  }

  #sawRevision(revision: bigint): void {
    if (revision > this.#revision) this.#revision = revision
  }
}

async function ranged(client: EtcdClient, range: object): Promise<RangeAnswer> {
  return parseRange(await client.call('/v3/kv/range', range))
}

/** Of processes that have ended without a word. */
async function sweepLanes(client: EtcdClient, keys: KeySpace, now: number): Promise<void> {
  const range = { key: keys.key(LANE_PREFIX), range_end: keys.key(`${LANE_PREFIX}\u007f`) }
  const { kvs } = await ranged(client, range)
  const ended = kvs.filter(({ value }) => now - parseLaneUse(fromBase64(value)).at > LANE_LIFETIME)
  const lanes = ended.map(({ key, mod_revision }) => ({
    key: keys.name(key),
    version: mod_revision,
  }))
  await deleteLanes(client, keys, lanes)
}

async function deleteLanes(
  client: EtcdClient,
  keys: KeySpace,
  lanes: readonly { readonly key: string; readonly version: bigint }[],
): Promise<void> {
  for (const chunk of chunksOf(lanes, PAGE)) {
    const compare = chunk.map(({ key, version }) => keys.hasVersion(key, version))
    await client.call('/v3/kv/txn', { compare, success: chunk.map(({ key }) => keys.delete(key)) })
  }
}
