/** The audit log: every change of an organization, entered in the transaction that makes it, numbered
 *  without gaps and hash-chained (protocol/audit-log.ts). Entries are never changed or deleted. */
import { z } from 'zod'
import { toHex, utf8 } from '../crypto/bytes.ts'
import { sha256 } from '../crypto/hash.ts'
import { auditHash, NO_LINE } from '../protocol/audit-log.ts'
import type { OrganizationId } from '../protocol/keys.ts'
import type { Act } from './act.ts'
import type { UserId } from './organizations.ts'
import { type Page, type PageRequest, readPage } from './page.ts'
import { collection, idOf } from './store/collection.ts'
import type { Database, Item, Transaction } from './store/database.ts'

/** By `<log>/<sequence, 12 digits>`: the line as it was hashed. */
const AUDIT = collection('audit', z.strictObject({ line: z.string() }))
/** By log: the newest entry. */
const AUDIT_HEAD = collection(
  'audit-head',
  z.strictObject({ sequence: z.int(), hash: z.string().length(64) }),
)

/** Whose log: an organization's, or, for what concerns no organization (API tokens), a user's. */
export type AuditLogId = OrganizationId | UserId

/** `<noun>.<what happened>`: `device.removed`. */
export type AuditAction = `${string}.${string}`

/** What is entered of a change. */
export interface AuditedChange {
  readonly action: AuditAction
  /** Id of what was changed. */
  readonly subject?: string
  /** What it was and what it became: the fields that differ, and never a secret. */
  readonly before?: object
  readonly after?: object
}

/** Longest `before` and `after`. Characters of JSON; what is longer is entered by its hash alone. */
const DETAIL_CHARACTERS = 2_000

export const AUDIT_ENTRY = z.object({
  sequence: z.int(),
  at: z.int(),
  action: z.string(),
  subject: z.string().optional(),
  who: z.discriminatedUnion('kind', [
    z.object({
      kind: z.literal('user'),
      user: z.string(),
      name: z.string(),
      token: z.string().optional(),
    }),
    z.object({ kind: z.literal('device'), device: z.string() }),
    z.object({ kind: z.literal('registry') }),
  ]),
  from: z.string().optional(),
  requestId: z.string().optional(),
  before: z.record(z.string(), z.unknown()).optional(),
  after: z.record(z.string(), z.unknown()).optional(),
  /** Hex of the SHA-256 of the line before. */
  previous: z.string(),
})
export type AuditEntry = z.output<typeof AUDIT_ENTRY>

/** Enters a change in the transaction that makes it. Call it once for each thing that is changed, after
 *  all that could refuse the change. */
export async function audit(
  transaction: Transaction,
  log: AuditLogId,
  act: Act,
  { action, subject, before, after }: AuditedChange,
): Promise<void> {
  await act.claim?.(transaction)
  const head = (await transaction.get(AUDIT_HEAD, log)) ?? { sequence: 0, hash: NO_LINE }
  const sequence = head.sequence + 1
  const { who, at, from, requestId } = act
  const entry: AuditEntry = {
    ...{ sequence, at, action, who },
    ...(subject !== undefined && { subject }),
    ...(from !== undefined && { from }),
    ...(requestId !== undefined && { requestId }),
    ...(before !== undefined && { before: small(before) }),
    ...(after !== undefined && { after: small(after) }),
    previous: head.hash,
  }
  const line = JSON.stringify(entry)
  transaction.put(AUDIT, auditId(log, sequence), { line })
  transaction.put(AUDIT_HEAD, log, { sequence, hash: auditHash(line) })
}

/** The fields of two states that differ, for `before` and `after`. */
export function difference<T extends object>(
  before: T,
  after: T,
): Required<Pick<AuditedChange, 'before' | 'after'>> {
  const names = (Object.keys({ ...before, ...after }) as (keyof T)[]).filter(
    (name) => JSON.stringify(before[name]) !== JSON.stringify(after[name]),
  )
  const only = (of: T) => Object.fromEntries(names.map((name) => [name, of[name]]))
  return { before: only(before), after: only(after) }
}

function small(detail: object): Record<string, unknown> {
  const text = JSON.stringify(detail)
  if (text.length <= DETAIL_CHARACTERS) return { ...detail }
  return { characters: text.length, sha256: toHex(sha256(utf8(text))) }
}

function auditId(log: AuditLogId, sequence: number): string {
  return `${log}/${String(sequence).padStart(12, '0')}`
}

export interface AuditHead {
  readonly sequence: number
  /** Hex. */
  readonly hash: string
}

export async function auditHead(
  database: Pick<Database, 'get'>,
  log: AuditLogId,
): Promise<AuditHead> {
  return (await database.get(AUDIT_HEAD, log)) ?? { sequence: 0, hash: NO_LINE }
}

/** Entries, the oldest first or, reversed, the newest. Throws a 400 problem for a cursor of another list. */
export async function auditPage(
  database: Pick<Database, 'list'>,
  log: AuditLogId,
  page: PageRequest & { readonly reverse?: boolean },
): Promise<Page<AuditEntry>> {
  const { items, ...next } = await readPage(database, AUDIT, `${log}/`, page)
  return { items: items.map(({ value }) => AUDIT_ENTRY.parse(JSON.parse(value.line))), ...next }
}

/** The lines after `sequence`, as they were hashed. */
export async function* auditLines(
  database: Pick<Database, 'list'>,
  log: AuditLogId,
  { after = 0, limit }: { readonly after?: number; readonly limit?: number } = {},
): AsyncIterable<string> {
  const options = { after: auditId(log, after), ...(limit !== undefined && { limit }) }
  const items: AsyncIterable<Item<{ line: string }>> = database.list(AUDIT, {
    under: `${log}/`,
    ...options,
  })
  for await (const { value } of items) yield value.line
}

/** Calls back with the logs in which something was entered, by whichever registry; none: it may be any. A hint to read. */
export function watchAudits(
  { store }: Pick<Database, 'store'>,
  changed: (logs: readonly string[]) => void,
): { cancel(): void } {
  return store.watch(`${AUDIT_HEAD.name}:`, (keys) =>
    changed(keys.map((key) => idOf(AUDIT_HEAD, key))),
  )
}
