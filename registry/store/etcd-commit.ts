/** A commit as etcd's transaction: all checks and all writes at one revision, and once only, even where an
 *  answer is lost and the request sent again. */
import { fromBase64 } from '../../crypto/bytes.ts'
import type { Clock } from '../../protocol/clock.ts'
import type { EtcdClient } from './etcd-client.ts'
import { encodeLaneUse, type Lane, type Lanes, parseLaneUse } from './etcd-lanes.ts'
import { type CommitLock, LOCK } from './etcd-lock.ts'
import {
  type KeySpace,
  type KeyValue,
  nested,
  type Operation,
  parseTxn,
  type Txn,
} from './etcd-wire.ts'
import { type Commit, type CommitResult, StoreError, type Version } from './store.ts'

export interface CommitParts {
  readonly client: EtcdClient
  readonly keys: KeySpace
  readonly lanes: Lanes
  readonly lock: CommitLock
  readonly clock: Pick<Clock, 'now'>
  /** Never the same twice, in any process. */
  readonly newId: () => string
}

/** Checks that a transaction makes itself; with more, the lock is taken, and they are made under it. With
 *  the writes inside it they stay below etcd's --max-txn-ops, which is 128. */
const CHECKS = 36

export async function commitTo(parts: CommitParts, commit: Commit): Promise<CommitResult> {
  const writes = writesOf(parts.keys, commit)
  if (writes.length === 0) return checkOnly(parts, commit)
  return parts.lanes.run(parts.clock.now(), (lane) =>
    (commit.checks?.length ?? 0) > CHECKS
      ? commitLarge(parts, commit, writes, lane)
      : commitSmall(parts, commit, writes, lane),
  )
}

function writesOf(keys: KeySpace, { puts = [], dels = [] }: Commit): readonly Operation[] {
  const put = new Map(puts.map(({ key, value }) => [key, value]))
  // etcd takes one operation of a key.
  const deleted = new Set(dels.filter((key) => !put.has(key)))
  return [
    ...[...deleted].map((key) => keys.delete(key)),
    ...[...put].map(([key, value]) => keys.put(key, value)),
  ]
}

async function checkOnly(parts: CommitParts, commit: Commit): Promise<CommitResult> {
  const { client, keys, lock } = parts
  const { checks = [] } = commit
  if (checks.length > CHECKS) {
    const version = await lock.acquire(parts.newId())
    const holds = await lock.holds(commit)
    await lock.release(version)
    return holds ? accepted(version) : { ok: false }
  }
  // Without an operation etcd would let any member answer from what it happens to know.
  const read = [keys.get(LOCK, true)]
  const compare = checks.map(({ key, version }) => keys.hasVersion(key, version))
  const answer = parseTxn(
    await client.call('/v3/kv/txn', { compare, success: read, failure: read }),
  )
  return answer.succeeded ? accepted(answer.header.revision) : { ok: false }
}

async function commitSmall(
  parts: CommitParts,
  { checks = [] }: Commit,
  writes: readonly Operation[],
  lane: Lane,
): Promise<CommitResult> {
  const { keys, lock } = parts
  const compare = checks.map(({ key, version }) => keys.hasVersion(key, version))
  for (;;) {
    const attempt = await send(parts, lane, {
      compare: [keys.hasVersion(LOCK, 0n), ...compare],
      success: writes,
    })
    if (attempt.kind === 'done') return accepted(attempt.revision)
    if (attempt.locked === undefined) return { ok: false }
    await lock.wait(attempt.locked)
  }
}

async function commitLarge(
  parts: CommitParts,
  commit: Commit,
  writes: readonly Operation[],
  lane: Lane,
): Promise<CommitResult> {
  const { keys, lock } = parts
  const version = await lock.acquire(parts.newId())
  try {
    if (!(await lock.holds(commit))) {
      await lock.release(version)
      return { ok: false }
    }
    const attempt = await send(parts, lane, {
      compare: [keys.hasVersion(LOCK, version)],
      success: [keys.delete(LOCK), ...writes],
    })
    // Else somebody took us for dead and broke the lock.
    return attempt.kind === 'done' ? accepted(attempt.revision) : { ok: false }
  } catch (error) {
    await lock.release(version).catch(() => undefined)
    throw error
  }
}

type Attempt =
  | { readonly kind: 'done'; readonly revision: bigint }
  | { readonly kind: 'refused'; readonly locked: KeyValue | undefined }

/** Throws StoreError where nobody knows what became of it. */
async function send(
  { client, keys, clock, newId }: CommitParts,
  lane: Lane,
  { compare, success }: Omit<Txn, 'failure'>,
): Promise<Attempt> {
  const id = newId()
  const use = encodeLaneUse(id, clock.now())
  const txn: Txn = {
    compare: [keys.hasVersion(lane.key, lane.version), ...compare],
    success: nested([keys.put(lane.key, use), ...success]),
    failure: [keys.get(LOCK), keys.get(lane.key)],
  }
  const answer = parseTxn(await client.call('/v3/kv/txn', txn))
  if (answer.succeeded) return done(lane, answer.header.revision)
  const [locked, used] = answer.responses.map(({ response_range }) => response_range?.kvs[0])
  if (used !== undefined && parseLaneUse(fromBase64(used.value)).id === id) {
    return done(lane, used.mod_revision)
  }
  if ((used?.mod_revision ?? 0n) !== lane.version) {
    throw new StoreError(
      `"${lane.key.slice(1)}" was changed by others: what became of a commit is not known`,
    )
  }
  return { kind: 'refused', locked }
}

function done(lane: Lane, revision: Version): Attempt {
  lane.version = revision
  return { kind: 'done', revision }
}

/** etcd answers when a majority of its members has it on disk. */
function accepted(revision: bigint): CommitResult {
  return { ok: true, revision, durable: Promise.resolve() }
}
