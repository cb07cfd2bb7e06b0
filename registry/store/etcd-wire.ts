/** etcd's requests and answers as JSON (its documentation, "API reference"): int64 are strings, bytes base64. */
import { z } from 'zod'
import { fromBase64, fromUtf8, toBase64, utf8 } from '../../crypto/bytes.ts'
import { type Entry, StoreError, type Version } from './store.ts'

const INT64 = z
  .string()
  .regex(/^-?\d+$/)
  .transform((text) => BigInt(text))
  .default(0n)
const HEADER = z.object({ revision: INT64 })
const KEY_VALUE = z.object({
  key: z.string(),
  value: z.string().default(''),
  mod_revision: INT64,
  create_revision: INT64,
})
export type KeyValue = z.output<typeof KEY_VALUE>

const RANGE = z.object({
  header: HEADER,
  kvs: z.array(KEY_VALUE).default([]),
  more: z.boolean().default(false),
})
export type RangeAnswer = z.output<typeof RANGE>

const TXN = z.object({
  header: HEADER,
  succeeded: z.boolean().default(false),
  responses: z
    .array(
      z.object({ response_range: z.object({ kvs: z.array(KEY_VALUE).default([]) }).optional() }),
    )
    .default([]),
})
export type TxnAnswer = z.output<typeof TXN>

const WATCH = z.object({
  result: z
    .object({
      header: HEADER.optional(),
      canceled: z.boolean().default(false),
      compact_revision: INT64,
      cancel_reason: z.string().default(''),
      events: z
        .array(z.object({ kv: z.object({ key: z.string(), mod_revision: INT64 }) }))
        .default([]),
    })
    .optional(),
  error: z.unknown().optional(),
})
export type WatchAnswer = z.output<typeof WATCH>

export const parseRange = (answer: unknown): RangeAnswer => parse(RANGE, answer)
export const parseTxn = (answer: unknown): TxnAnswer => parse(TXN, answer)
export const parseWatch = (answer: unknown): WatchAnswer => parse(WATCH, answer)

function parse<T>(shape: z.ZodType<T>, answer: unknown): T {
  const parsed = shape.safeParse(answer)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw new StoreError(
    `--store: etcd's answer is not understood: ${issue?.path.join('.')}: ${issue?.message} (3.4 and later are)`,
  )
}

export type Compare = Readonly<Record<string, string>>
export type Operation = Readonly<Record<string, object>>

export interface Txn {
  readonly compare: readonly Compare[]
  readonly success: readonly Operation[]
  readonly failure: readonly Operation[]
}

/** Keys of one store: behind a prefix of their own in the cluster. */
export class KeySpace {
  readonly #prefix: string

  constructor(prefix: string) {
    this.#prefix = prefix
  }

  key(key: string): string {
    return toBase64(utf8(this.#prefix + key))
  }

  /** A key that was written by `key`. */
  name(encoded: string): string {
    return fromUtf8(fromBase64(encoded)).slice(this.#prefix.length)
  }

  entry({ key, value, mod_revision }: KeyValue): Entry {
    return { key: this.name(key), value: fromBase64(value), version: mod_revision }
  }

  /** Holds where the key has this version; `0n`: where it does not exist. */
  hasVersion(key: string, version: Version): Compare {
    return {
      ...{ key: this.key(key), target: 'MOD', result: 'EQUAL' },
      mod_revision: String(version),
    }
  }

  put(key: string, value: Uint8Array): Operation {
    return { requestPut: { key: this.key(key), value: toBase64(value) } }
  }

  delete(key: string): Operation {
    return { requestDeleteRange: { key: this.key(key) } }
  }

  get(key: string, keysOnly = false): Operation {
    return { requestRange: { key: this.key(key), ...(keysOnly && { keys_only: true }) } }
  }
}

/** Operations that one transaction may hold at each level (etcd's --max-txn-ops is 128, less what the
 *  levels above it hold). */
const AT_ONCE = 40

/** The same operations in transactions inside transactions, for etcd bounds what one holds. */
export function nested(operations: readonly Operation[]): readonly Operation[] {
  if (operations.length <= AT_ONCE) return operations
  const inner = chunksOf(operations, AT_ONCE).map((success) => ({ requestTxn: { success } }))
  return nested(inner)
}

export function chunksOf<T>(all: readonly T[], length: number): readonly (readonly T[])[] {
  return Array.from({ length: Math.ceil(all.length / length) }, (_, at) =>
    all.slice(at * length, (at + 1) * length),
  )
}
