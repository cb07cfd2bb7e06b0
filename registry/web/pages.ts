/** The pages' routes: what each reads, what each form does. */
import express, { type RequestHandler, Router } from 'express'
import { z } from 'zod'
import type { ApiTokens } from '../api-tokens.ts'
import { noStore } from '../app.ts'
import type { RegistryContext } from '../context.ts'
import type { Connected } from '../device-presence.ts'
import type { Devices } from '../devices.ts'
import { type GuessLock, openGuessLock } from '../guess-lock.ts'
import { actOf } from '../http-act.ts'
import { requestIdOf } from '../http-request-id.ts'
import type { Identity } from '../identity/identity.ts'
import type { Invitations } from '../invitations.ts'
import type { Issuing } from '../issuing.ts'
import type { Logins } from '../login-authorization.ts'
import type { Members } from '../members.ts'
import type { Networks } from '../network.ts'
import type { OrganizationLifecycle } from '../organization-lifecycle.ts'
import { organizationsOf } from '../organizations.ts'
import type { Policies } from '../policy.ts'
import { ProblemError, parseInput } from '../problem.ts'
import { type RateLimit, rateLimit } from '../rate-limit.ts'
import type { UserDeletion } from '../user-deletion.ts'
import { accountRoutes } from './account-routes.ts'
import { renderApproval, renderCodeEntry, renderDecision } from './approval-page.ts'
import { assets } from './assets.ts'
import type { Directories } from './directories.ts'
import { forUsers, sendPage } from './guard.ts'
import { renderHome } from './home-page.ts'
import { invitationRoutes } from './invitation-routes.ts'
import { decideLogin, renderLogin } from './login-approval.ts'
import { organizationRoutes } from './organization-routes.ts'
import { policyForms } from './policy-routes.ts'
import { newOrganizationRoutes } from './settings-routes.ts'
import { renderUsers } from './users-page.ts'

/** Of one client address. Pages read the store a few times each. What a page of the network asks by itself is counted
 *  apart, 20 a minute for each one open: however many there are, people still get pages. */
const PAGES: RateLimit = {
  ...{ windowSeconds: 60, limit: 300 },
  key: ({ originalUrl }) => (LIVE.test(originalUrl) ? 'live' : ''),
}
const LIVE = /^\/organizations\/[^/?]+\/network\/live(?:\?|$)/
/** Codes tried by one client address: 20⁸ codes stay out of reach (RFC 8628 §5.1). */
const CODES = { windowSeconds: 60, limit: 30 }

/** Codes tried by one user, from wherever: nobody mistypes so often. */
const GUESSES = { wrong: 10, seconds: 900 }

const MAX_FORM_BYTES = 8 * 1024

export interface PageParts {
  readonly identity: Identity
  readonly directories: Directories
  readonly logins: Logins
  readonly people: {
    readonly members: Members
    readonly invitations: Invitations
    readonly lifecycle: OrganizationLifecycle
    readonly devices: Devices
    readonly issuing: Issuing
    readonly connected: Connected
    readonly policies: Policies
    readonly networks: Networks
    readonly tokens: ApiTokens
    readonly userDeletion: UserDeletion
  }
}

export function pages(context: RegistryContext, parts: PageParts): RequestHandler {
  const router = Router()
  router.use(assets())
  router.use(...parts.identity.routes)
  router.use(
    ['/', '/account', '/device', '/users', '/organizations', '/invitations'],
    rateLimit(PAGES),
    noStore,
  )
  router.use('/organizations/:organization/policy', policyForms)
  router.use(express.urlencoded({ extended: false, limit: MAX_FORM_BYTES, parameterLimit: 16 }))
  router.get('/', home(context, parts))
  router.use('/device', rateLimit(CODES))
  const codes = openGuessLock(context, GUESSES)
  router.get('/device', showPending(context, parts, codes))
  router.post('/device', decide(context, parts, codes))
  router.post('/device/login', decideLogin(context, { ...parts, codes }))
  router.use(userRoutes(context, parts))
  router.use('/account', accountRoutes(context, parts))
  router.use('/invitations', invitationRoutes(context, parts))
  router.use('/organizations', newOrganizationRoutes(context, parts))
  router.use('/organizations/:organization', organizationRoutes(context, parts))
  return router
}

function home(
  { database, publicUrl, clock }: RegistryContext,
  { identity, directories, people }: PageParts,
): RequestHandler {
  return forUsers(identity, async (_request, response, who) => {
    const organizations = await organizationsOf(database, who.user)
    const cards = await Promise.all(
      organizations.map(async (organization) => ({
        organization,
        devices: (await directories.devices.list(organization.id)).length,
      })),
    )
    const invitations = await people.invitations.listFor(who.user)
    sendPage(response, renderHome({ viewer: who, cards, invitations, publicUrl, now: clock.now() }))
  })
}

/** Shows a waiting device and changes nothing: who follows a link has approved nothing. */
function showPending(
  context: RegistryContext,
  { identity, directories, logins }: PageParts,
  codes: GuessLock,
): RequestHandler {
  return forUsers(identity, async (request, response, who) => {
    const code = request.query['code']
    if (typeof code !== 'string' || code === '') return sendPage(response, renderCodeEntry(who, {}))
    await codes.check(who.user)
    const login = await logins.find(code)
    if (login !== undefined) {
      return sendPage(response, renderLogin(who, login, context.clock.now()))
    }
    const pending = await directories.approvals.find(code)
    if (pending === undefined) await codes.wrong(who.user)
    if (pending === undefined)
      return sendPage(response, renderCodeEntry(who, unknownCode(code)), 404)
    const organizations = await organizationsOf(context.database, who.user)
    const view = { viewer: who, pending, organizations, now: context.clock.now() }
    sendPage(response, renderApproval(view))
  })
}

const decision = z.object({
  user_code: z.string().max(64),
  organization: z.string().max(64).optional(),
  decision: z.enum(['approve', 'deny']),
})

function decide(
  context: RegistryContext,
  { identity, directories }: PageParts,
  codes: GuessLock,
): RequestHandler {
  const { approvals } = directories
  return forUsers(identity, async (request, response, who) => {
    const wanted = parseInput(decision, request.body)
    await codes.check(who.user)
    const pending = await approvals.find(wanted.user_code)
    if (pending === undefined) await codes.wrong(who.user)
    const own = await organizationsOf(context.database, who.user)
    const organization = own.find(({ id }) => id === wanted.organization)
    if (wanted.decision === 'approve' && organization === undefined) {
      throw new ProblemError(404, 'organization-not-found', 'you have no such organization')
    }
    const act = actOf(request, who, context.clock.now())
    const approved = wanted.decision === 'approve' ? organization : undefined
    const done =
      pending !== undefined &&
      (approved === undefined
        ? await approvals.deny(pending.userCode, act)
        : await approvals.approve(pending.userCode, approved.id, act))
    if (!done || pending === undefined)
      return sendPage(response, renderCodeEntry(who, unknownCode(wanted.user_code)), 404)
    const waits = done === 'requested'
    const decided = { pending, waits, ...(approved !== undefined && { organization: approved }) }
    sendPage(response, renderDecision({ viewer: who, ...decided }))
  })
}

function unknownCode(code: string): { code: string; error: string } {
  return { code, error: 'No device waits with this code: it may be mistyped, expired or decided.' }
}

const userWanted = z.object({ email: z.string().trim().max(254).default('') })

/** Only with the embedded provider, and only for its first user. */
function userRoutes(context: RegistryContext, { identity }: PageParts): RequestHandler {
  const { clock, publicUrl } = context
  const router = Router()
  const { accounts } = identity
  if (accounts === undefined) return router
  const show = (invite: boolean) =>
    forUsers(identity, async (request, response, who) => {
      if (!who.admin) {
        throw new ProblemError(
          403,
          'not-admin',
          'only the first user of this registry invites others',
        )
      }
      const email = invite ? parseInput(userWanted, request.body).email : ''
      const invitationUrl = invite
        ? `${publicUrl}/setup/${await accounts.invite(email === '' ? undefined : email)}`
        : undefined
      if (invite)
        context.log('info', 'account.invited', { id: requestIdOf(request), user: who.user })
      const view = { viewer: who, accounts: await accounts.list(), now: clock.now() }
      sendPage(response, renderUsers({ ...view, ...(invitationUrl && { invitationUrl }) }))
    })
  router.get('/users', show(false))
  router.post('/users/invitations', show(true))
  return router
}
