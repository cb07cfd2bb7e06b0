/** The lock of commits too large for one check by etcd: while somebody has it, nobody else writes. */

import { fromBase64, fromUtf8, utf8 } from '../../crypto/bytes.ts'
import type { Clock } from '../../protocol/clock.ts'
import type { EtcdClient } from './etcd-client.ts'
import { chunksOf, type KeySpace, type KeyValue, parseTxn } from './etcd-wire.ts'
import type { Commit, Version } from './store.ts'

/** Outside of the key alphabet of records. */
export const LOCK = '\u0001lock'

/** Milliseconds after which a lock is broken: whoever had it has died. If not, its commit is refused. */
const LOCK_MS = 20_000
const PAUSE_MS = 50
/** Records read in one request. */
const AT_ONCE = 100

export interface LockParts {
  readonly client: EtcdClient
  readonly keys: KeySpace
  readonly clock: Pick<Clock, 'monotonicMs' | 'sleep'>
}

export class CommitLock {
  readonly #parts: LockParts
  #seen: { readonly version: Version; readonly sinceMs: number } | undefined

  constructor(parts: LockParts) {
    this.#parts = parts
  }

  /** Resolves with the lock's version once we have it. */
  async acquire(id: string): Promise<Version> {
    const { client, keys } = this.#parts
    const txn = {
      compare: [keys.hasVersion(LOCK, 0n)],
      success: [keys.put(LOCK, utf8(id))],
      failure: [keys.get(LOCK)],
    }
    for (;;) {
      const answer = parseTxn(await client.call('/v3/kv/txn', txn))
      if (answer.succeeded) return answer.header.revision
      const held = answer.responses[0]?.response_range?.kvs[0]
      // The answer to an earlier copy of this request was lost.
      if (held !== undefined && fromUtf8(fromBase64(held.value)) === id) return held.mod_revision
      if (held !== undefined) await this.wait(held)
    }
  }

  /** Resolves when it is worth trying again. */
  async wait(held: KeyValue): Promise<void> {
    const { client, keys, clock } = this.#parts
    const nowMs = clock.monotonicMs()
    if (this.#seen?.version !== held.mod_revision) {
      this.#seen = { version: held.mod_revision, sinceMs: nowMs }
    }
    if (nowMs - this.#seen.sinceMs < LOCK_MS) return clock.sleep(PAUSE_MS)
    await client.call('/v3/kv/txn', {
      compare: [keys.hasVersion(LOCK, held.mod_revision)],
      success: [keys.delete(LOCK)],
    })
  }

  async release(version: Version): Promise<void> {
    const { client, keys } = this.#parts
    const compare = [keys.hasVersion(LOCK, version)]
    await client.call('/v3/kv/txn', { compare, success: [keys.delete(LOCK)] })
  }

  /** While we have the lock: do all records have the versions that the commit was made from? */
  async holds({ checks = [] }: Commit): Promise<boolean> {
    const { client, keys } = this.#parts
    for (const chunk of chunksOf(checks, AT_ONCE)) {
      const success = chunk.map(({ key }) => keys.get(key, true))
      const { responses } = parseTxn(await client.call('/v3/kv/txn', { success }))
      const isChanged = chunk.some(({ version }, at) => {
        const [found] = responses[at]?.response_range?.kvs ?? []
        return (found?.mod_revision ?? 0n) !== version
      })
      if (isChanged) return false
    }
    return true
  }
}
