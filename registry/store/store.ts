/** The storage engine's interface: versioned records under ordered keys, one atomic compare-and-commit. */

/** Token of one write of one key. `0n` stands for "does not exist". Never reused for a key. */
export type Version = bigint

export interface Entry {
  readonly key: string
  readonly value: Uint8Array
  readonly version: Version
}

/** Keys from `gte` (included) to `lt` (excluded), in byte order or its reverse. */
export interface Range {
  readonly gte: string
  readonly lt: string
  readonly reverse?: boolean
  readonly limit?: number
}

/** All of it or none of it: applied only if each checked key still has the version given. */
export interface Commit {
  readonly checks?: readonly { readonly key: string; readonly version: Version }[]
  readonly puts?: readonly { readonly key: string; readonly value: Uint8Array }[]
  readonly dels?: readonly string[]
}

export type CommitResult =
  | { readonly ok: false }
  | {
      readonly ok: true
      /** Grows with every commit of the store that writes. */
      readonly revision: bigint
      /** Resolves when the commit, and all it was checked against, survives a crash. */
      readonly durable: Promise<void>
    }

export interface Store extends AsyncDisposable {
  /** Other processes may write to it, too. */
  readonly isShared: boolean
  /** Sees accepted commits at once, also those that are not durable yet. */
  get(key: string): Promise<Entry | undefined>
  /** One snapshot, taken when iteration begins. */
  list(range: Range): AsyncIterable<Entry>
  /** Resolves once accepted or refused. Rejects with StoreError when the engine has failed. */
  commit(commit: Commit): Promise<CommitResult>
  /** Calls back after durable commits that touch keys under `prefix`, also those of other processes: a
   *  hint to read, not a log. No keys: anything may have changed. */
  watch(prefix: string, changed: (keys: readonly string[]) => void): { cancel(): void }
}

/** Longest key. Characters of printable ASCII, so that every engine orders keys alike. */
export const MAX_KEY_LENGTH = 512
/** Largest value. Bytes. etcd takes 1.5 MiB a request (its documentation, "System limits"). */
export const MAX_VALUE_BYTES = 512 * 1024

/** The engine cannot be opened, has failed, or holds what cannot be read. */
export class StoreError extends Error {
  override readonly name = 'StoreError'
  readonly code = 'ERR_STORE'
}

/** Throws StoreError for a key or value no engine may be given. */
export function checkCommit(commit: Commit): void {
  for (const { key } of commit.checks ?? []) checkKey(key)
  for (const key of commit.dels ?? []) checkKey(key)
  for (const { key, value } of commit.puts ?? []) {
    checkKey(key)
    if (value.length > MAX_VALUE_BYTES) {
      throw new StoreError(`value of "${key}": ${value.length} bytes, limit ${MAX_VALUE_BYTES}`)
    }
  }
}

export function checkKey(key: string): void {
  if (key.length === 0 || key.length > MAX_KEY_LENGTH || !/^[!-~]+$/.test(key)) {
    throw new StoreError(
      `key "${key.slice(0, 80)}": must be 1 to ${MAX_KEY_LENGTH} characters of printable ASCII without spaces`,
    )
  }
}
