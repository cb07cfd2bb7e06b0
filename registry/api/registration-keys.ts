/** Routes of an organization's registration keys. */
import { z } from 'zod'
import type { Clock } from '../../protocol/clock.ts'
import type { OrganizationId } from '../../protocol/keys.ts'
import { GROUPS } from '../../protocol/limits.ts'
import { seconds } from '../../protocol/time.ts'
import { EPHEMERAL } from '../device-presence.ts'
import type { OrganizationLifecycle } from '../organization-lifecycle.ts'
import { pageOf } from '../page.ts'
import { ProblemError } from '../problem.ts'
import type { RegistrationKeys } from '../registration-keys.ts'
import { isAtLeast, requireRole } from '../roles.ts'
import { ADMINS, ANY_MEMBER } from './access.ts'
import { LABEL, MOMENT } from './fields.ts'
import { type MemberVisit, memberRoute, type Route } from './route.ts'

export interface RegistrationKeyApiParts {
  readonly registrationKeys: RegistrationKeys
  readonly lifecycle: Pick<OrganizationLifecycle, 'details'>
  readonly clock: Pick<Clock, 'now'>
}

const DAY = 86_400
const NEW_KEY = z.strictObject({
  description: LABEL,
  singleUse: z.boolean().default(true),
  /** Seconds from now. */
  lifetime: z
    .int()
    .min(60)
    .max(365 * DAY)
    .default(DAY),
  /** Of the devices it lets in. */
  groups: z.array(LABEL).max(GROUPS).default([]),
  /** Its devices are removed when they have been away for so long; absent: never. Seconds. */
  ephemeralAfter: z.int().min(EPHEMERAL.least).max(EPHEMERAL.most).optional(),
})
const KEY = z.object({
  id: z.string(),
  description: z.string(),
  singleUse: z.boolean(),
  uses: z.int(),
  groups: z.array(z.string()).readonly(),
  ephemeralAfter: z.int().optional(),
  createdBy: z.string(),
  createdAt: MOMENT,
  expiresAt: MOMENT,
})
/** With the secret, which is told once. */
const MADE_KEY = z.object({ id: z.string(), key: z.string(), expiresAt: MOMENT })

const KEYS = '/organizations/:organization/registration-keys'
const ONE_KEY = '/organizations/:organization/registration-keys/:key'

type Parts = RegistrationKeyApiParts

/** Where devices need an admin's word, a key is one; and groups are what policies go by. */
async function requireMayCreate(
  { lifecycle }: Parts,
  organization: OrganizationId,
  {
    role,
    body,
  }: Pick<MemberVisit<typeof KEYS, unknown, z.output<typeof NEW_KEY>>, 'role' | 'body'>,
): Promise<void> {
  const { settings } = await lifecycle.details(organization)
  if (settings.approvalRequired || body.groups.length > 0) requireRole(role, 'admin')
}

/** The key, for an admin or who made it; others are told that there is none. */
async function keyFor(
  { registrationKeys }: Parts,
  { organization, role, caller, params }: MemberVisit<typeof ONE_KEY, unknown, unknown>,
) {
  const key = await registrationKeys.get(organization, params.key)
  if (key !== undefined && (isAtLeast(role, 'admin') || key.createdBy === caller.user)) return key
  throw noKey()
}

export const REGISTRATION_KEY_ROUTES: readonly Route<Parts>[] = [
  memberRoute({
    method: 'GET',
    path: KEYS,
    operation: 'listRegistrationKeys',
    summary: 'Registration keys, without their secrets',
    scope: 'read',
    roles: ADMINS,
    paginated: true,
    answer: pageOf('registrationKeys', KEY),
    handle: async ({ registrationKeys }: Parts, { organization, page }) => {
      const { items, ...next } = await registrationKeys.page(organization, page)
      return { registrationKeys: items, ...next }
    },
  }),
  memberRoute({
    method: 'POST',
    path: KEYS,
    operation: 'createRegistrationKey',
    summary:
      'Makes a registration key; the secret is told once. You answer for the devices it lets in',
    scope: 'registration-keys:write',
    roles: ANY_MEMBER,
    body: NEW_KEY,
    answer: MADE_KEY,
    status: 201,
    handle: async (parts: Parts, visit) => {
      const { organization, body, act } = visit
      await requireMayCreate(parts, organization, visit)
      const { lifetime, ...wanted } = body
      const expiresAt = seconds(parts.clock.now() + lifetime)
      const key = { ...wanted, expiresAt }
      const made = await parts.registrationKeys.create(organization, key, act)
      return { id: made.id, key: made.secret, expiresAt }
    },
  }),
  memberRoute({
    method: 'GET',
    path: ONE_KEY,
    operation: 'getRegistrationKey',
    summary: 'One registration key, without its secret, for admins and who made it',
    scope: 'read',
    roles: ANY_MEMBER,
    answer: KEY,
    handle: keyFor,
  }),
  memberRoute({
    method: 'PATCH',
    path: ONE_KEY,
    operation: 'describeRegistrationKey',
    summary: 'Describes a registration key anew, for admins and who made it',
    scope: 'registration-keys:write',
    roles: ANY_MEMBER,
    body: z.strictObject({ description: LABEL }),
    answer: KEY,
    handle: async (parts: Parts, visit) => {
      const { id } = await keyFor(parts, visit)
      const { organization, body, act } = visit
      const key = await parts.registrationKeys.describe(organization, id, body.description, act)
      if (key === undefined) throw noKey()
      return key
    },
  }),
  memberRoute({
    method: 'DELETE',
    path: ONE_KEY,
    operation: 'revokeRegistrationKey',
    summary: 'Revokes a registration key, for admins and who made it',
    scope: 'registration-keys:write',
    roles: ANY_MEMBER,
    handle: async (parts: Parts, visit) => {
      const { id } = await keyFor(parts, visit)
      if (!(await parts.registrationKeys.revoke(visit.organization, id, visit.act))) throw noKey()
    },
  }),
]

function noKey(): ProblemError {
  return new ProblemError(404, 'registration-key-unknown', 'there is no such registration key')
}
