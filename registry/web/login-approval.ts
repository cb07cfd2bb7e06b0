/** A program that wants to log in as the user: the page that says what it asks for, and the decision. */
import type { RequestHandler } from 'express'
import { z } from 'zod'
import type { Seconds } from '../../protocol/time.ts'
import type { RegistryContext } from '../context.ts'
import type { GuessLock } from '../guess-lock.ts'
import { requestIdOf } from '../http-request-id.ts'
import type { Identity } from '../identity/identity.ts'
import type { Logins, PendingLogin } from '../login-authorization.ts'
import { parseInput } from '../problem.ts'
import { SCOPE_TEXT } from '../scopes.ts'
import { renderCodeEntry } from './approval-page.ts'
import { when } from './format.ts'
import { forUsers, sendPage } from './guard.ts'
import { html } from './html.ts'
import { renderPage, type Viewer } from './layout.ts'

export interface LoginPageParts {
  readonly identity: Identity
  readonly logins: Logins
  readonly codes: GuessLock
}

export function renderLogin(viewer: Viewer, login: PendingLogin, now: Seconds): string {
  const days = Math.round(login.lifetime / 86_400)
  return renderPage({
    title: 'Let a program log in',
    viewer,
    narrow: true,
    content: html`<section class="card">
<h1>Let this program act as you?</h1>
<p>Say yes only if you have just started it and it shows this code.</p>
<p class="usercode">${login.userCode}</p>
<dl>
<dt>Program</dt><dd><strong>${login.client}</strong></dd>
<dt>Asks from</dt><dd class="code">${login.requestedFrom}</dd>
<dt>For</dt><dd>${days < 1 ? 'less than a day' : days === 1 ? '1 day' : `${days} days`}</dd>
<dt>Expires</dt><dd>${when(login.expiresAt, now)}</dd>
</dl>
<p>In every organization of yours, as far as you may yourself, it could</p>
<ul>${login.scopes.map((scope) => html`<li>${SCOPE_TEXT[scope]}</li>`)}</ul>
<form method="post" action="/device/login" class="actions">
<input type="hidden" name="user_code" value="${login.userCode}">
<button class="primary" name="decision" value="approve">Let it log in</button>
<button class="danger" name="decision" value="deny">Deny</button>
</form>
</section>`,
  })
}

const decision = z.object({
  user_code: z.string().max(64),
  decision: z.enum(['approve', 'deny']),
})

/** The form of `renderLogin`. */
export function decideLogin(
  { log }: RegistryContext,
  { identity, logins, codes }: LoginPageParts,
): RequestHandler {
  return forUsers(identity, async (request, response, who) => {
    const wanted = parseInput(decision, request.body)
    await codes.check(who.user)
    const { user, name } = who
    const approved = wanted.decision === 'approve'
    const done = approved
      ? await logins.approve(wanted.user_code, { user, name })
      : await logins.deny(wanted.user_code)
    if (!done) {
      await codes.wrong(who.user)
      const error = 'Nothing waits with this code: it may be mistyped, expired or decided.'
      return sendPage(response, renderCodeEntry(who, { code: wanted.user_code, error }), 404)
    }
    log('info', approved ? 'login.approved' : 'login.denied', {
      id: requestIdOf(request),
      user,
      from: request.ip,
    })
    sendPage(response, renderDecided(who, approved))
  })
}

function renderDecided(viewer: Viewer, approved: boolean): string {
  return renderPage({
    title: approved ? 'Logged in' : 'Denied',
    viewer,
    narrow: true,
    content: approved
      ? html`<section class="card"><h1>Logged in</h1><p>The program goes on by itself. You can close this page.</p></section>`
      : html`<section class="card"><h1>Denied</h1><p>The program was not let in.</p>
<p><a class="button" href="/">Back to the start</a></p></section>`,
  })
}
