/** Routes of invitations: of who invites, and of who is invited. */
import { z } from 'zod'
import type { Clock } from '../../protocol/clock.ts'
import { seconds } from '../../protocol/time.ts'
import { INVITATION_LIFETIMES, type Invitations } from '../invitations.ts'
import { ProblemError } from '../problem.ts'
import { MEMBER_ROLES } from '../roles.ts'
import { ADMINS } from './access.ts'
import { MOMENT } from './fields.ts'
import { memberRoute, type Route, userRoute } from './route.ts'

export interface InvitationApiParts {
  readonly invitations: Invitations
  readonly clock: Pick<Clock, 'now'>
  readonly publicUrl: string
}

const INVITATION = z.object({
  id: z.string(),
  organization: z.string(),
  organizationName: z.string(),
  role: z.enum(MEMBER_ROLES),
  /** Absent: it is by link. */
  email: z.string().optional(),
  invitedBy: z.string(),
  createdAt: MOMENT,
  expiresAt: MOMENT,
  accepted: z.boolean(),
})
const NEW = z.strictObject({
  role: z.enum(MEMBER_ROLES),
  /** Only who proves this address may accept; absent: whoever holds the link, once. */
  email: z.email().max(254).optional(),
  /** Seconds from now. */
  lifetime: z
    .int()
    .min(INVITATION_LIFETIMES.least)
    .max(INVITATION_LIFETIMES.most)
    .default(7 * 86_400),
})
const MADE = z.object({
  id: z.string(),
  expiresAt: MOMENT,
  /** Of one by link: told once. */
  link: z.string().optional(),
})
const JOINED = z.object({ organization: z.string() })

const OF_ORGANIZATION = '/organizations/:organization/invitations'

type Parts = InvitationApiParts

const OF_WHO_INVITES: readonly Route<Parts>[] = [
  memberRoute({
    method: 'GET',
    path: OF_ORGANIZATION,
    operation: 'listInvitations',
    summary: 'Invitations to the organization, without their links',
    scope: 'read',
    roles: ADMINS,
    answer: z.object({ invitations: z.array(INVITATION).readonly() }),
    handle: async ({ invitations }: Parts, { organization }) => ({
      invitations: await invitations.listOf(organization),
    }),
  }),
  memberRoute({
    method: 'POST',
    path: OF_ORGANIZATION,
    operation: 'createInvitation',
    summary: 'Invites by e-mail address, or by a link that is told once',
    scope: 'members:write',
    roles: ADMINS,
    body: NEW,
    answer: MADE,
    status: 201,
    handle: async ({ invitations, clock, publicUrl }: Parts, { organization, body, act }) => {
      const { lifetime, ...wanted } = body
      const expiresAt = seconds(clock.now() + lifetime)
      const { id, secret } = await invitations.create(organization, act, { ...wanted, expiresAt })
      const link = secret === undefined ? undefined : `${publicUrl}/invitations/${secret}`
      return { id, expiresAt, link }
    },
  }),
  memberRoute({
    method: 'DELETE',
    path: '/organizations/:organization/invitations/:invitation',
    operation: 'revokeInvitation',
    summary: 'Takes an invitation back',
    scope: 'members:write',
    roles: ADMINS,
    handle: async ({ invitations }: Parts, { organization, params, act }) => {
      if (await invitations.revoke(organization, act, params.invitation)) return
      throw new ProblemError(404, 'invitation-unknown', 'there is no such invitation')
    },
  }),
]

const OF_WHO_IS_INVITED: readonly Route<Parts>[] = [
  userRoute({
    method: 'GET',
    path: '/invitations',
    operation: 'listOwnInvitations',
    summary: 'Invitations to your e-mail address, which your identity provider must vouch for',
    scope: 'read',
    answer: z.object({ invitations: z.array(INVITATION).readonly() }),
    handle: async ({ invitations }: Parts, { caller }) => ({
      invitations: await invitations.listFor(caller.user),
    }),
  }),
  userRoute({
    method: 'POST',
    path: '/invitations/:invitation/acceptance',
    operation: 'acceptInvitation',
    summary: 'Accepts an invitation to your e-mail address; once more is no error',
    scope: 'members:write',
    answer: JOINED,
    handle: async ({ invitations }: Parts, { params, act }) => ({
      organization: await invitations.accept(act, params.invitation),
    }),
  }),
  userRoute({
    method: 'DELETE',
    path: '/invitations/:invitation',
    operation: 'declineInvitation',
    summary: 'Declines an invitation to your e-mail address',
    scope: 'members:write',
    handle: ({ invitations }: Parts, { params, act }) =>
      invitations.decline(act, params.invitation),
  }),
  userRoute({
    method: 'POST',
    path: '/invitation-links',
    operation: 'acceptInvitationLink',
    summary: 'Accepts an invitation by the secret at the end of its link; once more is no error',
    scope: 'members:write',
    body: z.strictObject({ secret: z.string().min(1).max(64) }),
    answer: JOINED,
    handle: async ({ invitations }: Parts, { body, act }) => ({
      organization: await invitations.acceptLink(act, body.secret),
    }),
  }),
]

export const INVITATION_ROUTES = [...OF_WHO_INVITES, ...OF_WHO_IS_INVITED]
