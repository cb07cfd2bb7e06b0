/** Routes of an organization's audit log. */
import { z } from 'zod'
import type { Clock } from '../../protocol/clock.ts'
import { AUDIT_ENTRY, auditHead, auditLines, auditPage } from '../audit.ts'
import { pageOf } from '../page.ts'
import type { Database } from '../store/database.ts'
import { ADMINS } from './access.ts'
import { memberRoute, type Route } from './route.ts'
import { writeLines } from './streaming.ts'

export interface AuditApiParts {
  readonly database: Database
  readonly clock: Pick<Clock, 'after'>
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
    stream: ({ database, clock }: AuditApiParts, { organization }, response) => {
      response.status(200).type('application/jsonl')
      return writeLines(response, clock, auditLines(database, organization))
    },
  }),
]
