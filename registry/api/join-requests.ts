/** Routes of devices that members let in, and that an admin has to agree to. */
import { z } from 'zod'
import type { Clock } from '../../protocol/clock.ts'
import type { Log } from '../../protocol/log.ts'
import { decideJoin } from '../approval.ts'
import type { Issuing } from '../issuing.ts'
import { joinRequestsIn } from '../join-requests.ts'
import { ProblemError } from '../problem.ts'
import type { Database } from '../store/database.ts'
import { ADMINS } from './access.ts'
import { MOMENT } from './fields.ts'
import { memberRoute, type Route } from './route.ts'

export interface JoinRequestApiParts {
  readonly database: Database
  readonly issuing: Issuing
  readonly clock: Pick<Clock, 'now'>
  readonly log: Log
}

const JOIN_REQUEST = z.object({
  id: z.string(),
  device: z.string(),
  name: z.string(),
  system: z.string(),
  requestedFrom: z.string(),
  fingerprint: z.string(),
  /** Who let it in, as people call them. */
  owner: z.string(),
  expiresAt: MOMENT,
})

type Parts = JoinRequestApiParts

export const JOIN_REQUEST_ROUTES: readonly Route<Parts>[] = [
  memberRoute({
    method: 'GET',
    path: '/organizations/:organization/join-requests',
    operation: 'listJoinRequests',
    summary: 'Devices that members let in, and that wait for an admin',
    scope: 'read',
    roles: ADMINS,
    answer: z.object({ joinRequests: z.array(JOIN_REQUEST).readonly() }),
    handle: async ({ database, clock }: Parts, { organization }) => ({
      joinRequests: await joinRequestsIn(database, organization, clock.now()),
    }),
  }),
  memberRoute({
    method: 'POST',
    path: '/organizations/:organization/join-requests/:request',
    operation: 'decideJoinRequest',
    summary: 'Lets such a device in, or denies it',
    scope: 'devices:write',
    roles: ADMINS,
    body: z.strictObject({ approved: z.boolean() }),
    handle: async (parts: Parts, { organization, params, body, act }) => {
      const request = { id: params.request, by: act, approved: body.approved }
      if (await decideJoin(parts, organization, request)) return
      throw new ProblemError(404, 'join-request-unknown', 'no such device waits (any more)')
    },
  }),
]
