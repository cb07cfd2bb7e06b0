/** Routes of the account of who is signed in. */
import { type Request, type RequestHandler, type Response, Router } from 'express'
import { z } from 'zod'
import { SCOPES } from '../../protocol/scopes.ts'
import { seconds } from '../../protocol/time.ts'
import { LABEL } from '../api/fields.ts'
import type { RegistryContext } from '../context.ts'
import { actOf } from '../http-act.ts'
import { requestIdOf } from '../http-request-id.ts'
import type { SignedIn } from '../identity/identity.ts'
import { PAGE_QUERY } from '../page.ts'
import { ProblemError, parseInput } from '../problem.ts'
import { DEVICES_OF_DELETED } from '../user-deletion.ts'
import { type AccountView, renderAccount, TOKEN_LIFETIMES } from './account-page.ts'
import { formError } from './form-error.ts'
import { forUsers, sendPage } from './guard.ts'
import { html } from './html.ts'
import { renderPage } from './layout.ts'
import type { PageParts } from './pages.ts'

interface Visit {
  readonly request: Request
  readonly response: Response
  readonly who: SignedIn
}

export function accountRoutes(context: RegistryContext, parts: PageParts): RequestHandler {
  const router = Router()
  const to = (
    handler: (context: RegistryContext, parts: PageParts, visit: Visit) => Promise<void>,
  ) =>
    forUsers(parts.identity, (request, response, who) =>
      handler(context, parts, { request, response, who }),
    )
  router.get('/', to(show))
  router.post('/tokens', to(createToken))
  router.post('/tokens/:token/revoke', to(revokeToken))
  router.post('/delete', to(deleteUser))
  return router
}

const shown = z.object({ cursor: PAGE_QUERY.cursor })
/** Tokens on a page. */
const TOKENS = 50

async function show(
  { clock, publicUrl }: RegistryContext,
  { people, identity }: PageParts,
  { request, response, who }: Visit,
  also: Pick<AccountView, 'newToken' | 'form' | 'error'> = {},
): Promise<void> {
  const { cursor } = parseInput(shown, request.query)
  const asked = { limit: TOKENS, ...(cursor !== undefined && { cursor }) }
  const { items, next } = await people.tokens.page(who.user, asked)
  const obstacles = await people.userDeletion.obstacles(who.user)
  const page = renderAccount({
    ...{ viewer: who, tokens: items, next, obstacles, publicUrl, now: clock.now(), ...also },
    isLater: cursor !== undefined,
    hasAccount: identity.accounts !== undefined,
  })
  sendPage(response, page, also.error === undefined ? 200 : 422)
}

const lifetimes = Object.keys(TOKEN_LIFETIMES) as (keyof typeof TOKEN_LIFETIMES)[]
const scope = z.enum(SCOPES)
/** Loose, to be shown again where something is wrong. */
const formSent = z.object({
  description: z.string().trim().max(256).default(''),
  lifetime: z.enum(lifetimes),
  scopes: z.union([scope.transform((one) => [one]), z.array(scope).max(SCOPES.length)]).default([]),
})
const wanted = z.object({
  description: LABEL,
  scopes: z.array(scope).min(1, 'choose one at least'),
})

async function createToken(
  context: RegistryContext,
  parts: PageParts,
  visit: Visit,
): Promise<void> {
  const { request, who } = visit
  const form = parseInput(formSent, request.body)
  try {
    const { description, scopes } = parseInput(wanted, form)
    const now = context.clock.now()
    const expiresAt = seconds(now + TOKEN_LIFETIMES[form.lifetime])
    const act = actOf(request, who, now)
    const made = await parts.people.tokens.create(who.user, { description, scopes, expiresAt }, act)
    context.log('info', 'token.created', {
      ...{ id: requestIdOf(request), token: made.id, user: who.user },
    })
    await show(context, parts, visit, { newToken: made.secret })
  } catch (error) {
    await show(context, parts, visit, { form, error: formError(error) })
  }
}

async function revokeToken(
  context: RegistryContext,
  parts: PageParts,
  visit: Visit,
): Promise<void> {
  const { request, response, who } = visit
  const id = String(request.params['token'])
  const act = actOf(request, who, context.clock.now())
  if (!(await parts.people.tokens.revoke(who.user, id, act))) {
    throw new ProblemError(404, 'token-unknown', 'you have no such token')
  }
  response.redirect(303, '/account')
}

const deletion = z.object({
  confirm: z.string().max(254),
  devices: z.enum(DEVICES_OF_DELETED),
})

async function deleteUser(context: RegistryContext, parts: PageParts, visit: Visit): Promise<void> {
  const { request, response, who } = visit
  const { confirm, devices } = parseInput(deletion, request.body)
  if (confirm.trim() !== who.name) {
    const error = 'That is not your name: nothing was deleted.'
    return show(context, parts, visit, { error })
  }
  try {
    await parts.people.userDeletion.delete(devices, actOf(request, who, context.clock.now()))
  } catch (error) {
    return show(context, parts, visit, { error: formError(error) })
  }
  await parts.identity.sessions.end(request, response)
  sendPage(response, renderGone())
}

function renderGone(): string {
  return renderPage({
    title: 'Deleted',
    narrow: true,
    content: html`<section class="card"><h1>Your user is deleted</h1>
<p>You belong to no organization any more, and your tokens are of no use.</p></section>`,
  })
}
