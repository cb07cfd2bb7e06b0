/** The event stream of an organization (Server-Sent Events, WHATWG HTML §9.2). */
import { z } from 'zod'
import type { Clock } from '../../protocol/clock.ts'
import type { ChangeEvent, Events } from '../events.ts'
import { ProblemError } from '../problem.ts'
import { ANY_MEMBER } from './access.ts'
import { memberRoute, type Route } from './route.ts'
import { write } from './streaming.ts'

export interface EventApiParts {
  readonly events: Events
  readonly clock: Pick<Clock, 'after'>
}

export const EVENT_ROUTES: readonly Route<EventApiParts>[] = [
  memberRoute({
    method: 'GET',
    path: '/organizations/:organization/events',
    operation: 'followEvents',
    summary:
      'Changes as they happen; Last-Event-ID, or `after`, goes on behind an event heard before',
    scope: 'read',
    roles: ANY_MEMBER,
    rate: 'streaming',
    query: z.strictObject({ after: z.coerce.number().int().min(0).optional() }),
    produces: 'text/event-stream',
    stream: async ({ events, clock }: EventApiParts, visit, response) => {
      const { organization, caller, query, header, isStillAllowed } = visit
      const after = lastEventId(header('Last-Event-ID')) ?? query.after
      const ended = new AbortController()
      response.once('close', () => ended.abort())
      // Of nginx and those that follow it: each event passes at once.
      response.status(200).type('text/event-stream').set('X-Accel-Buffering', 'no')
      await events.open({
        ...{ organization, subscriber: caller.user, isAllowed: isStillAllowed },
        ...(after !== undefined && { after }),
        send: (event) => write(response, clock, textOf(event)),
        heartbeat: () => write(response, clock, ': still here\n\n'),
        ended: ended.signal,
      })
      response.end()
    },
  }),
]

function textOf(event: ChangeEvent): string {
  return `id: ${event.sequence}\ndata: ${JSON.stringify(event)}\n\n`
}

/** Throws a 400 problem: a client that resumes wants no event left out. */
function lastEventId(text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined
  if (/^\d{1,12}$/.test(text)) return Number(text)
  throw new ProblemError(400, 'last-event-id-invalid', 'Last-Event-ID: want the id of an event', {
    field: 'Last-Event-ID',
  })
}
