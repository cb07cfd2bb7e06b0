/** Routes of an organization's audit log. */
import { once } from 'node:events'
import type { Response } from 'express'
import { z } from 'zod'
import { AUDIT_ENTRY, auditHead, auditLines, auditPage } from '../audit.ts'
import { pageOf } from '../page.ts'
import type { Database } from '../store/database.ts'
import { ADMINS } from './access.ts'
import { memberRoute, type Route } from './route.ts'

export interface AuditApiParts {
  readonly database: Database
}

const AUDIT = '/organizations/:organization/audit'
const HEAD = z.object({ sequence: z.int(), hash: z.string() })

export const AUDIT_ROUTES: readonly Route<AuditApiParts>[] = [
  memberRoute({
    method: 'GET',
    path: AUDIT,
    operation: 'listAudit',
    summary:
      'What was changed, by whom, when and from where; the newest first unless told otherwise',
    scope: 'audit:read',
    roles: ADMINS,
    paginated: true,
    query: z.strictObject({ order: z.enum(['newest', 'oldest']).default('newest') }),
    answer: pageOf('entries', AUDIT_ENTRY),
    handle: async ({ database }: AuditApiParts, { organization, page, query }) => {
      const wanted = { ...page, reverse: query.order === 'newest' }
      const { items, ...next } = await auditPage(database, organization, wanted)
      return { entries: items, ...next }
    },
  }),
  memberRoute({
    method: 'GET',
    path: `${AUDIT}/head`,
    operation: 'getAuditHead',
    summary:
      'Number and hash of the newest entry: kept elsewhere, it vouches for the log up to there',
    scope: 'audit:read',
    roles: ADMINS,
    answer: HEAD,
    handle: ({ database }: AuditApiParts, { organization }) => auditHead(database, organization),
  }),
  memberRoute({
    method: 'GET',
    path: `${AUDIT}/export`,
    operation: 'exportAudit',
    summary: 'The whole log, a line of JSON an entry, the oldest first, as it was hashed',
    scope: 'audit:read',
    roles: ADMINS,
    rate: 'streaming',
    produces: 'application/jsonl',
    stream: ({ database }: AuditApiParts, { organization }, response) =>
      sendLines(response, auditLines(database, organization)),
  }),
]

/** As fast as the client takes them. */
async function sendLines(response: Response, lines: AsyncIterable<string>): Promise<void> {
  response.status(200).type('application/jsonl')
  for await (const line of lines) {
    if (response.destroyed) return
    if (!response.write(`${line}\n`)) {
      await Promise.race([once(response, 'drain'), once(response, 'close')])
    }
  }
  response.end()
}
