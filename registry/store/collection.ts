/** A kind of record in the store: its key prefix, and the schema its JSON is parsed by at every read. */
import type { z } from 'zod'
import { fromUtf8, utf8 } from '../../crypto/bytes.ts'
import { type Entry, StoreError } from './store.ts'

export interface Collection<T> {
  readonly name: string
  readonly schema: z.ZodType<T>
}

/** `name` is a path of lower-case words. Ids may be paths of their own (`<organization>/<device>`). */
export function collection<T>(name: string, schema: z.ZodType<T>): Collection<T> {
  return { name, schema }
}

export function keyOf(of: Collection<unknown>, id: string): string {
  return `${of.name}:${id}`
}

export function idOf(of: Collection<unknown>, key: string): string {
  return key.slice(of.name.length + 1)
}

/** Throws a ZodError, a caller's bug, when the value is not what the schema says. */
export function encodeRecord<T>(of: Collection<T>, value: T): Uint8Array {
  return utf8(JSON.stringify(of.schema.parse(value)))
}

/** Throws StoreError naming the key when the stored bytes are not such a record. */
export function parseRecord<T>(of: Collection<T>, entry: Entry): T {
  try {
    return of.schema.parse(JSON.parse(fromUtf8(entry.value)))
  } catch (cause) {
    throw new StoreError(`record "${entry.key}" is not a ${of.name}: the store is corrupt`, {
      cause,
    })
  }
}
