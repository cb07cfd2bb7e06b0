/** Pages of a list: how many, and after which. A cursor is opaque to clients: base64url of the last key. */
import { z } from 'zod'
import { EncodingError, fromBase64url, fromUtf8, toBase64url, utf8 } from '../crypto/bytes.ts'
import { ProblemError } from './problem.ts'
import type { Collection } from './store/collection.ts'
import type { Database, Item } from './store/database.ts'

export const PAGE_LIMIT = { usual: 100, most: 1000 } as const

export interface PageRequest {
  readonly limit: number
  readonly cursor?: string
}

/** Query parameters of a paginated route. */
export const PAGE_QUERY = {
  limit: z.coerce.number().int().min(1).max(PAGE_LIMIT.most).default(PAGE_LIMIT.usual),
  cursor: z.string().min(1).max(1024).optional(),
}

/** A page of a list, and where the next begins. */
export interface Page<T> {
  readonly items: readonly T[]
  /** Absent on the last page. */
  readonly next?: string
}

/** The schema of an answer that is a page: `{ <name>: [...], next?: cursor }`. */
export function pageOf<Name extends string, T extends z.ZodType>(name: Name, item: T) {
  const list = { [name]: z.array(item).readonly() } as Record<Name, z.ZodReadonly<z.ZodArray<T>>>
  return z.object({ ...list, next: z.string().optional() })
}

/** Reads one page of the records whose ids begin with `under`, in the order of their keys or its reverse.
 *  Throws a 400 problem when the cursor is not one of this list. */
export async function readPage<T>(
  database: Pick<Database, 'list'>,
  of: Collection<T>,
  under: string,
  { limit, cursor, reverse = false }: PageRequest & { readonly reverse?: boolean },
): Promise<Page<Item<T>>> {
  const last = cursor === undefined ? undefined : keyOfCursor(cursor, under)
  const items: Item<T>[] = []
  const from = last !== undefined && { [reverse ? 'before' : 'after']: last }
  const options = { under, limit: limit + 1, reverse, ...from }
  for await (const item of database.list(of, options)) items.push(item)
  const page = items.slice(0, limit)
  const end = page.at(-1)
  return items.length > limit && end !== undefined
    ? { items: page, next: cursorOf(end.id) }
    : { items: page }
}

export function cursorOf(id: string): string {
  return toBase64url(utf8(id))
}

/** The id that a cursor stands for. Throws a 400 problem unless it lies under the list's prefix. */
export function keyOfCursor(cursor: string, under: string): string {
  const id = decoded(cursor)
  if (id === undefined || !id.startsWith(under) || !/^[!-~]{1,400}$/.test(id)) {
    throw new ProblemError(400, 'cursor-invalid', 'cursor: is not one that this list gave', {
      field: 'cursor',
    })
  }
  return id
}

function decoded(cursor: string): string | undefined {
  try {
    return fromUtf8(fromBase64url(cursor))
  } catch (error) {
    if (error instanceof EncodingError) return undefined
    throw error
  }
}
