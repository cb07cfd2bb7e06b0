/** Routes of the organization's policy. */
import { z } from 'zod'
import { POLICY_TEXT_CHARACTERS } from '../../protocol/limits.ts'
import { VERDICTS } from '../../protocol/policy-rules.ts'
import { pageOf } from '../page.ts'
import type { Policies } from '../policy.ts'
import { ADMINS, ANY_MEMBER } from './access.ts'
import { MOMENT } from './fields.ts'
import { memberRoute, type Route } from './route.ts'

export interface PolicyApiParts {
  readonly policies: Policies
}

type Parts = PolicyApiParts

const TEXT = z.string().max(POLICY_TEXT_CHARACTERS)
/** Bytes: every character may take four, and be escaped. */
const LARGEST_BODY = POLICY_TEXT_CHARACTERS * 6

const POLICY = z.object({
  /** 0: none was ever saved. */
  revision: z.int().nonnegative(),
  /** YAML or JSON, as it was saved. */
  text: z.string(),
  savedAt: MOMENT,
  by: z.string(),
})
const DECISION = z.object({
  verdict: z.enum(VERDICTS),
  /** From 1, in the order of the text. */
  rule: z.int().optional(),
  by: z.enum(['rule', 'default', 'no-rule']),
})
const CHECK = z.object({
  mistakes: z.array(z.string()).readonly(),
  rules: z.int(),
  tests: z.array(z.object({ test: z.string(), holds: z.boolean(), found: z.string() })).readonly(),
  answers: z
    .array(
      z.object({
        family: z.union([z.literal(4), z.literal(6)]),
        verdict: z.enum(VERDICTS),
        outbound: DECISION,
        inbound: DECISION,
      }),
    )
    .readonly(),
})

export const POLICY_ROUTES: readonly Route<Parts>[] = [
  memberRoute({
    method: 'GET',
    path: '/organizations/:organization/policy',
    operation: 'getPolicy',
    summary: 'The policy in force',
    scope: 'read',
    roles: ANY_MEMBER,
    answer: POLICY,
    handle: ({ policies }: Parts, { organization }) => policies.current(organization),
  }),
  memberRoute({
    method: 'PUT',
    path: '/organizations/:organization/policy',
    operation: 'savePolicy',
    summary: 'Puts another policy in force, once its tests hold',
    scope: 'policy:write',
    roles: ADMINS,
    body: z.strictObject({
      text: TEXT,
      /** Of the policy that it replaces. */
      revision: z.int().nonnegative(),
    }),
    largestBody: LARGEST_BODY,
    answer: POLICY,
    handle: ({ policies }: Parts, { organization, act, body }) =>
      policies.save(organization, act, body),
  }),
  memberRoute({
    method: 'POST',
    path: '/organizations/:organization/policy/check',
    operation: 'checkPolicy',
    summary: 'Reads a policy, runs its tests and answers a question, and saves nothing',
    scope: 'read',
    roles: ANY_MEMBER,
    body: z.strictObject({
      /** The policy in force where it is missing. */
      text: TEXT.optional(),
      /** `laptop -> db:5432 tcp` */
      question: z.string().max(512).optional(),
    }),
    largestBody: LARGEST_BODY,
    answer: CHECK,
    handle: ({ policies }: Parts, { organization, body }) => policies.check(organization, body),
  }),
  memberRoute({
    method: 'GET',
    path: '/organizations/:organization/policy/history',
    operation: 'listPolicies',
    summary: 'Every policy there was, the newest first',
    scope: 'read',
    roles: ANY_MEMBER,
    paginated: true,
    answer: pageOf('policies', POLICY),
    handle: async ({ policies }: Parts, { organization, page }) => {
      const { items, ...next } = await policies.history(organization, page)
      return { policies: items, ...next }
    },
  }),
]
