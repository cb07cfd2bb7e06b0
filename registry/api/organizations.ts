/** Routes of the organizations that a user belongs to. */
import { z } from 'zod'
import { organizationsOf } from '../organizations.ts'
import type { Database } from '../store/database.ts'
import { type Route, userRoute } from './route.ts'

export interface OrganizationApiParts {
  readonly database: Database
}

const ORGANIZATION = z.object({ id: z.string(), name: z.string() })

export const ORGANIZATION_ROUTES: readonly Route<OrganizationApiParts>[] = [
  userRoute({
    method: 'GET',
    path: '/organizations',
    operation: 'listOrganizations',
    summary: 'The organizations that you belong to',
    scope: 'read',
    answer: z.object({ organizations: z.array(ORGANIZATION).readonly() }),
    handle: async ({ database }: OrganizationApiParts, { caller }) => ({
      organizations: await organizationsOf(database, caller.user),
    }),
  }),
]
