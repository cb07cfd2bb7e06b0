/** How the embedded engine stores a record, and what is on disk beside what is on its way there. */
import { type Entry, StoreError, type Version } from './store.ts'

/** A write that was accepted and is not known to be on disk; no value means deleted. */
export interface InFlight {
  readonly version: Version
  readonly value?: Uint8Array
}

export const NOTHING = new Uint8Array()

/** Stored form: version (8 bytes, big-endian), value. */
export function seal(version: Version, value: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(8 + value.length)
  new DataView(bytes.buffer).setBigUint64(0, version)
  bytes.set(value, 8)
  return bytes
}

export function versionOf(stored: Uint8Array, key: string): Version {
  if (stored.length < 8)
    throw new StoreError(`record "${key}" has no version: the store is corrupt`)
  return new DataView(stored.buffer, stored.byteOffset, stored.byteLength).getBigUint64(0)
}

export function storedEntry(key: string, stored: Uint8Array): Entry {
  return { key, version: versionOf(stored, key), value: stored.subarray(8) }
}

export function entryOf(key: string, { version, value }: InFlight): Entry | undefined {
  return value === undefined ? undefined : { key, version, value }
}

/** Both are in order; what is in flight hides what is stored. */
export async function* merged(
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
