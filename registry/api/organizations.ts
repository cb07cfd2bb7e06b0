/** Routes of the organizations that a user belongs to. */
import { z } from 'zod'
import {
  MEMBERSHIP_LIFETIMES,
  ORGANIZATION_NAME_CHARACTERS,
  type OrganizationLifecycle,
  REAUTHENTICATION,
} from '../organization-lifecycle.ts'
import { membershipIn, membershipsOf } from '../organizations.ts'
import { MEMBER_ROLES } from '../roles.ts'
import type { Database } from '../store/database.ts'
import { ANY_MEMBER, OWNERS } from './access.ts'
import { MOMENT } from './fields.ts'
import { memberRoute, type Route, userRoute } from './route.ts'

export interface OrganizationApiParts {
  readonly database: Database
  readonly lifecycle: OrganizationLifecycle
}

const ORGANIZATION = z.object({ id: z.string(), name: z.string(), role: z.enum(MEMBER_ROLES) })
const DETAILS = ORGANIZATION.extend({
  createdAt: MOMENT,
  ipv4Range: z.string(),
  ipv6Range: z.string(),
  approvalRequired: z.boolean(),
  /** Seconds; absent: the registry's own rule. */
  membershipLifetime: z.int().optional(),
  /** Seconds; absent: never. */
  reauthenticateAfter: z.int().optional(),
})
const NAME = z.string().max(4 * ORGANIZATION_NAME_CHARACTERS)
const RANGE = z.string().max(64)
const NEW = z.strictObject({
  name: NAME,
  ipv4Range: RANGE.optional(),
  ipv6Range: RANGE.optional(),
})
const CHANGE = z.strictObject({
  name: NAME.optional(),
  approvalRequired: z.boolean().optional(),
  /** Seconds; null: the registry's own rule. */
  membershipLifetime: z
    .int()
    .min(MEMBERSHIP_LIFETIMES.least)
    .max(MEMBERSHIP_LIFETIMES.most)
    .nullable()
    .optional(),
  /** Seconds; null: never. */
  reauthenticateAfter: z
    .int()
    .min(REAUTHENTICATION.least)
    .max(REAUTHENTICATION.most)
    .nullable()
    .optional(),
})
const FORCE = z.strictObject({ force: z.enum(['true', 'false']).default('false') })

type Parts = OrganizationApiParts

async function detailsOf(
  { database, lifecycle }: Parts,
  user: Parameters<typeof membershipIn>[1],
  id: string,
) {
  const { organization, role } = await membershipIn(database, user, id)
  const { settings, ranges } = await lifecycle.details(organization.id)
  const [ipv4Range, ipv6Range] = ranges
  return { ...organization, role, ...settings, ipv4Range, ipv6Range }
}

const ONE = '/organizations/:organization'

export const ORGANIZATION_ROUTES: readonly Route<Parts>[] = [
  userRoute({
    method: 'GET',
    path: '/organizations',
    operation: 'listOrganizations',
    summary: 'The organizations that you belong to',
    scope: 'read',
    answer: z.object({ organizations: z.array(ORGANIZATION).readonly() }),
    handle: async ({ database }: Parts, { caller }) => {
      const own = await membershipsOf(database, caller.user)
      return { organizations: own.map(({ organization, role }) => ({ ...organization, role })) }
    },
  }),
  userRoute({
    method: 'POST',
    path: '/organizations',
    operation: 'createOrganization',
    summary: 'Makes an organization that you own; its address ranges cannot be changed later',
    scope: 'organizations:write',
    body: NEW,
    answer: DETAILS,
    status: 201,
    handle: async (parts: Parts, { body, act, caller }) => {
      const { name, ipv4Range: ipv4, ipv6Range: ipv6 } = body
      const id = await parts.lifecycle.create(act, { name, ipv4, ipv6 })
      return detailsOf(parts, caller.user, id)
    },
  }),
  memberRoute({
    method: 'GET',
    path: ONE,
    operation: 'getOrganization',
    summary: 'An organization and its rules',
    scope: 'read',
    roles: ANY_MEMBER,
    answer: DETAILS,
    handle: (parts: Parts, { organization, caller }) => detailsOf(parts, caller.user, organization),
  }),
  memberRoute({
    method: 'PATCH',
    path: ONE,
    operation: 'changeOrganization',
    summary: 'Renames an organization or changes its rules; what is absent stays',
    scope: 'organizations:write',
    roles: OWNERS,
    body: CHANGE,
    answer: DETAILS,
    handle: async (parts: Parts, { organization, body, act, caller }) => {
      const { name, ...settings } = body
      if (name !== undefined) await parts.lifecycle.rename(organization, act, name)
      if (Object.keys(settings).length > 0) {
        await parts.lifecycle.changeSettings(organization, act, settings)
      }
      return detailsOf(parts, caller.user, organization)
    },
  }),
  memberRoute({
    method: 'DELETE',
    path: ONE,
    operation: 'deleteOrganization',
    summary:
      'Deletes an organization; while it has devices only with force=true, which revokes them',
    scope: 'organizations:write',
    roles: OWNERS,
    query: FORCE,
    handle: ({ lifecycle }: Parts, { organization, query, act }) =>
      lifecycle.delete(organization, act, query.force === 'true'),
  }),
]
