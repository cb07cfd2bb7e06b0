/** Routes of the names that an organization adds to those of its devices. */
import type { Issuing } from '../issuing.ts'
import { namesIn, setNames } from '../names.ts'
import { NAMES_RECORD } from '../names-record.ts'
import type { Database } from '../store/database.ts'
import { ADMINS, ANY_MEMBER } from './access.ts'
import { memberRoute, type Route } from './route.ts'

export interface NamesApiParts {
  readonly database: Database
  readonly issuing: Pick<Issuing, 'change'>
}

const NAMES = '/organizations/:organization/names'

export const NAME_ROUTES: readonly Route<NamesApiParts>[] = [
  memberRoute({
    method: 'GET',
    path: NAMES,
    operation: 'getNames',
    summary: 'Names beside those of the devices: records, and domains that go to other resolvers',
    scope: 'read',
    roles: ANY_MEMBER,
    answer: NAMES_RECORD,
    handle: ({ database }: NamesApiParts, { organization }) => namesIn(database, organization),
  }),
  memberRoute({
    method: 'PUT',
    path: NAMES,
    operation: 'setNames',
    summary:
      'Replaces those names; devices have them with the next manifest, which is made at once',
    scope: 'organizations:write',
    roles: ADMINS,
    body: NAMES_RECORD,
    answer: NAMES_RECORD,
    handle: async ({ issuing }: NamesApiParts, { organization, body, act }) => {
      await setNames(issuing, organization, body, act)
      return body
    },
  }),
]
