/** Routes of an organization's registration keys. */
import { z } from 'zod'
import type { Clock } from '../../protocol/clock.ts'
import { seconds } from '../../protocol/time.ts'
import { pageOf } from '../page.ts'
import { ProblemError } from '../problem.ts'
import type { RegistrationKeys } from '../registration-keys.ts'
import { ADMINS } from './access.ts'
import { LABEL, MOMENT } from './fields.ts'
import { memberRoute, type Route } from './route.ts'

export interface RegistrationKeyApiParts {
  readonly registrationKeys: RegistrationKeys
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
})
const KEY = z.object({
  id: z.string(),
  description: z.string(),
  singleUse: z.boolean(),
  uses: z.int(),
  createdAt: MOMENT,
  expiresAt: MOMENT,
})
/** With the secret, which is told once. */
const MADE_KEY = z.object({ id: z.string(), key: z.string(), expiresAt: MOMENT })

const KEYS = '/organizations/:organization/registration-keys'

export const REGISTRATION_KEY_ROUTES: readonly Route<RegistrationKeyApiParts>[] = [
  memberRoute({
    method: 'GET',
    path: KEYS,
    operation: 'listRegistrationKeys',
    summary: 'Registration keys, without their secrets',
    scope: 'read',
    roles: ADMINS,
    paginated: true,
    answer: pageOf('registrationKeys', KEY),
    handle: async ({ registrationKeys }: RegistrationKeyApiParts, { organization, page }) => {
      const { items, ...next } = await registrationKeys.page(organization, page)
      return { registrationKeys: items, ...next }
    },
  }),
  memberRoute({
    method: 'POST',
    path: KEYS,
    operation: 'createRegistrationKey',
    summary: 'Makes a registration key; the secret is told once',
    scope: 'registration-keys:write',
    roles: ADMINS,
    body: NEW_KEY,
    answer: MADE_KEY,
    status: 201,
    handle: async (
      { registrationKeys, clock }: RegistrationKeyApiParts,
      { organization, body, act },
    ) => {
      const { lifetime, ...wanted } = body
      const expiresAt = seconds(clock.now() + lifetime)
      const made = await registrationKeys.create(organization, { ...wanted, expiresAt }, act)
      return { id: made.id, key: made.secret, expiresAt }
    },
  }),
  memberRoute({
    method: 'DELETE',
    path: '/organizations/:organization/registration-keys/:key',
    operation: 'revokeRegistrationKey',
    summary: 'Revokes a registration key',
    scope: 'registration-keys:write',
    roles: ADMINS,
    handle: async (
      { registrationKeys }: RegistrationKeyApiParts,
      { organization, params, act },
    ) => {
      if (await registrationKeys.revoke(organization, params.key, act)) return
      throw new ProblemError(404, 'registration-key-unknown', 'there is no such registration key')
    },
  }),
]
