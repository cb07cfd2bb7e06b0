/** Routes of the user who asks: who they are, their API tokens, and their own audit log. */
import { z } from 'zod'
import type { Clock } from '../../protocol/clock.ts'
import { SCOPES, type Scope } from '../../protocol/scopes.ts'
import { seconds } from '../../protocol/time.ts'
import type { ApiTokens } from '../api-tokens.ts'
import { AUDIT_ENTRY, auditPage } from '../audit.ts'
import { pageOf } from '../page.ts'
import { ProblemError } from '../problem.ts'
import { Refused } from '../refusal.ts'
import type { Database } from '../store/database.ts'
import { DEVICES_OF_DELETED, type UserDeletion } from '../user-deletion.ts'
import { type Caller, checkScope } from './access.ts'
import { LABEL, MOMENT } from './fields.ts'
import { openRoute, type Route, userRoute } from './route.ts'

export interface TokenApiParts {
  readonly database: Database
  readonly tokens: ApiTokens
  readonly userDeletion: UserDeletion
  readonly clock: Pick<Clock, 'now'>
}

const DAY = 86_400
const SCOPE_LIST = z.array(z.enum(SCOPES)).min(1).max(SCOPES.length)
/** Seconds from now. */
export const TOKEN_LIFETIME = z
  .int()
  .min(60)
  .max(365 * DAY)
/** Where nothing is said. Seconds. */
export const USUAL_LIFETIME = 30 * DAY
const NEW_TOKEN = z.strictObject({
  description: LABEL,
  scopes: SCOPE_LIST,
  /** Absent: 30 days, or as long as the token that makes it. */
  lifetime: TOKEN_LIFETIME.optional(),
})
const TOKEN = z.object({
  id: z.string(),
  description: z.string(),
  scopes: z.array(z.enum(SCOPES)).readonly(),
  createdAt: MOMENT,
  expiresAt: MOMENT,
  usedAt: MOMENT.optional(),
  usedFrom: z.string().optional(),
})
/** With the secret, which is told once. */
const MADE_TOKEN = z.object({ id: z.string(), token: z.string(), expiresAt: MOMENT })
const USER = z.object({
  id: z.string(),
  name: z.string(),
  /** The token that asks; absent: a session. */
  token: TOKEN.optional(),
})
const DELETION = z.strictObject({
  confirm: z.string().max(254),
  /** Revoked, or given to the owner of each organization who has been a member for longest. */
  devices: z.enum(DEVICES_OF_DELETED).default('revoke'),
})
/** RFC 7009 §2.1. */
const REVOCATION = z.object({
  token: z.string().min(1).max(128),
  token_type_hint: z.string().max(64).optional(),
})

/** Beside `organizations:write`: the deletion does what each of them allows, in every organization. */
const ALSO_TO_DELETE: readonly Scope[] = ['devices:write', 'members:write', 'tokens:write']

export const TOKEN_ROUTES: readonly Route<TokenApiParts>[] = [
  userRoute({
    method: 'GET',
    path: '/user',
    operation: 'getUser',
    summary: 'Who you are, and what the token in use is good for',
    scope: 'read',
    answer: USER,
    handle: async (_parts: TokenApiParts, { caller: { user, name, token } }) => ({
      ...{ id: user, name },
      ...(token !== undefined && { token }),
    }),
  }),
  userRoute({
    method: 'DELETE',
    path: '/user',
    operation: 'deleteUser',
    summary:
      'Deletes you: out of every organization, no session and no token any more; `confirm` is your name, as getUser tells it; a token needs devices:write, members:write and tokens:write, too',
    scope: 'organizations:write',
    query: DELETION,
    handle: async ({ userDeletion }: TokenApiParts, { caller, query, act }) => {
      for (const scope of ALSO_TO_DELETE) checkScope(caller, scope)
      if (query.confirm === caller.name) return userDeletion.delete(query.devices, act)
      const words = `confirm: is not your name, ${caller.name}: nothing was deleted`
      throw new ProblemError(400, 'confirmation-wrong', words, { field: 'confirm' })
    },
  }),
  userRoute({
    method: 'GET',
    path: '/user/audit',
    operation: 'listUserAudit',
    summary: 'What was changed of your own: tokens; the newest first',
    scope: 'audit:read',
    paginated: true,
    answer: pageOf('entries', AUDIT_ENTRY),
    handle: async ({ database }: TokenApiParts, { caller, page }) => {
      const { items, ...next } = await auditPage(database, caller.user, { ...page, reverse: true })
      return { entries: items, ...next }
    },
  }),
  userRoute({
    method: 'GET',
    path: '/user/tokens',
    operation: 'listTokens',
    summary: 'Your API tokens, without their secrets',
    scope: 'read',
    paginated: true,
    answer: pageOf('tokens', TOKEN),
    handle: async ({ tokens }: TokenApiParts, { caller, page }) => {
      const { items, ...next } = await tokens.page(caller.user, page)
      return { tokens: items, ...next }
    },
  }),
  userRoute({
    method: 'POST',
    path: '/user/tokens',
    operation: 'createToken',
    summary: 'Makes an API token; the secret is told once',
    scope: 'tokens:write',
    body: NEW_TOKEN,
    answer: MADE_TOKEN,
    status: 201,
    handle: async ({ tokens, clock }: TokenApiParts, { caller, body, act }) => {
      const { description, scopes, lifetime } = body
      const last = caller.token?.expiresAt ?? Number.POSITIVE_INFINITY
      const usual = Math.min(clock.now() + USUAL_LIFETIME, last)
      const expiresAt = seconds(lifetime === undefined ? usual : clock.now() + lifetime)
      checkWithin(caller, scopes, expiresAt)
      const made = await tokens.create(caller.user, { description, scopes, expiresAt }, act)
      return { id: made.id, token: made.secret, expiresAt }
    },
  }),
  userRoute({
    method: 'DELETE',
    path: '/user/tokens/:token',
    operation: 'revokeToken',
    summary: 'Revokes an API token',
    scope: 'tokens:write',
    handle: async ({ tokens }: TokenApiParts, { caller, params, act }) => {
      if (await tokens.revoke(caller.user, params.token, act)) return
      throw new ProblemError(404, 'token-unknown', 'you have no such token')
    },
  }),
  openRoute({
    method: 'POST',
    path: '/revoke',
    operation: 'revokeTokenInHand',
    summary: 'Revokes the token that is sent (RFC 7009): who holds one may always give it up',
    rate: 'asking',
    oauth: true,
    body: REVOCATION,
    answer: z.object({}),
    handle: async ({ tokens, clock }: TokenApiParts, { body, act }) => {
      const found = await tokens.find(body.token, act.from ?? 'unknown')
      if (found === undefined) return {}
      const { user, id } = found
      const who = { kind: 'user', user, name: user, token: id } as const
      await tokens.revoke(user, id, { ...act, who, at: clock.now() })
      return {}
    },
  }),
]

/** A token makes none that is mightier than itself, or lasts longer. Throws Refused (token-scope). */
function checkWithin({ token }: Caller, scopes: readonly Scope[], expiresAt: number): void {
  if (token === undefined) return
  const more = scopes.find((scope) => !token.scopes.includes(scope))
  if (more !== undefined) {
    throw new Refused('token-scope', `the token in use has no scope ${more}: it can't give it`, {
      field: 'scopes',
    })
  }
  if (expiresAt > token.expiresAt) {
    throw new Refused(
      'token-scope',
      'the token in use ends before: it makes none that lasts longer',
      {
        field: 'lifetime',
      },
    )
  }
}
