/** The account of who is signed in: their API tokens, and the end of their user. */
import type { Scope } from '../../protocol/scopes.ts'
import { SCOPES } from '../../protocol/scopes.ts'
import type { Seconds } from '../../protocol/time.ts'
import type { ApiToken } from '../api-tokens.ts'
import { SCOPE_TEXT } from '../scopes.ts'
import { type Obstacle, obstacleText } from '../user-deletion.ts'
import { when } from './format.ts'
import { type Html, html } from './html.ts'
import { notice, renderPage, type Viewer } from './layout.ts'

/** How long a token may be made to last. Seconds, by the name pages show. */
export const TOKEN_LIFETIMES = {
  '1 hour': 3600,
  '1 day': 86_400,
  '7 days': 7 * 86_400,
  '30 days': 30 * 86_400,
  '90 days': 90 * 86_400,
  '1 year': 365 * 86_400,
} as const

export interface TokenForm {
  readonly description: string
  readonly scopes: readonly Scope[]
  readonly lifetime: keyof typeof TOKEN_LIFETIMES
}

export interface AccountView {
  readonly viewer: Viewer
  readonly tokens: readonly ApiToken[]
  /** Newer tokens are on the page before. */
  readonly isLater: boolean
  /** Where more tokens follow. */
  readonly next?: string | undefined
  readonly obstacles: readonly Obstacle[]
  /** Their account is the registry's own, and goes with them. */
  readonly hasAccount: boolean
  readonly publicUrl: string
  readonly now: Seconds
  /** The secret of one just made: this page alone ever shows it. */
  readonly newToken?: string | undefined
  /** As it was sent, where something is wrong with it. */
  readonly form?: TokenForm | undefined
  readonly error?: string | undefined
}

export function renderAccount(view: AccountView): string {
  const { viewer, error, newToken, publicUrl } = view
  return renderPage({
    title: 'Your account',
    viewer,
    content: html`<h1>Your account</h1>
<p class="faint">You are ${viewer.name}.</p>
${error !== undefined && notice('error', error)}
${
  newToken !== undefined &&
  notice(
    'done',
    html`<strong>Copy this token now: it is not shown again.</strong>
<code class="block">${newToken}</code>
A program sends it so: <code class="block">curl -H 'Authorization: Bearer ${newToken}' ${publicUrl}/v1/user</code>`,
  )
}
${renderTokens(view)}
${renderNewToken(view)}
${renderDeletion(view)}`,
  })
}

function renderTokens({ tokens, isLater, next, now }: AccountView): Html {
  const more = next !== undefined && new URLSearchParams({ cursor: next }).toString()
  return html`<section class="card"><h2>API tokens <span class="count">${tokens.length}${isLater && ' more'}${next !== undefined && ' and more'}</span></h2>
<p>A token lets a program act for you, in every organization of yours, as far as its scopes go. The <a href="/v1/openapi.json">document of the API</a> says what there is.</p>
${tokens.length === 0 && html`<p>You have none.</p>`}
${
  tokens.length > 0 &&
  html`<div class="scroll" tabindex="0" role="region" aria-label="API tokens"><table class="acts">
<thead><tr><th>Description</th><th>Scopes</th><th>Made</th><th>Used</th><th>Ends</th><th><span class="hidden">Actions</span></th></tr></thead>
<tbody>${tokens.map((token) => renderToken(token, now))}</tbody></table></div>`
}
${
  (isLater || more !== false) &&
  html`<p class="actions">${isLater && html`<a class="button" href="/account">The newest tokens</a>`}${more !== false && html`<a class="button" href="/account?${more}">More tokens</a>`}</p>`
}</section>`
}

function renderToken(token: ApiToken, now: Seconds): Html {
  const { id, description, scopes, createdAt, expiresAt, usedAt, usedFrom } = token
  const isOver = expiresAt <= now
  return html`<tr${isOver && html` class="over"`}><td><strong>${description}</strong></td>
<td class="wrap">${scopes.map((scope) => html`<code>${scope}</code> `)}</td>
<td>${when(createdAt, now)}</td>
<td>${usedAt === undefined ? html`<span class="faint">never</span>` : when(usedAt, now)}${usedFrom !== undefined && html`<br><span class="faint">from ${usedFrom}</span>`}</td>
<td>${when(expiresAt, now)}</td>
<td><form method="post" action="/account/tokens/${id}/revoke"><button class="small danger" aria-label="${isOver ? 'Remove' : 'Revoke'} ${description}">${isOver ? 'Remove' : 'Revoke'}</button></form></td></tr>`
}

function renderNewToken({ form }: AccountView): Html {
  const { description, scopes, lifetime } = form ?? {
    ...{ description: '', scopes: ['read'], lifetime: '30 days' },
  }
  return html`<section class="card"><h2>New token</h2>
<form method="post" action="/account/tokens" class="stack">
<label>Description<input name="description" value="${description}" required maxlength="128" placeholder="backup of the audit log"></label>
<label>Lasts<select name="lifetime">${Object.keys(TOKEN_LIFETIMES).map(
    (name) => html`<option${name === lifetime && html` selected`}>${name}</option>`,
  )}</select></label>
<fieldset><legend>It may</legend>${SCOPES.map(
    (scope) =>
      html`<label class="check"><input type="checkbox" name="scopes" value="${scope}"${scopes.some((each) => each === scope) && html` checked`}> ${SCOPE_TEXT[scope]} <code>${scope}</code></label>`,
  )}</fieldset>
<div class="actions"><button class="primary">Make the token</button></div>
</form></section>`
}

function renderDeletion({ viewer, obstacles, hasAccount }: AccountView): Html {
  const after = hasAccount
    ? 'to come again you need a new invitation, and begin anew'
    : 'who signs in again begins anew'
  return html`<section class="card"><h2>Delete your user</h2>
<p>You leave every organization; those that you have for yourself, without a device, are deleted. Your sessions and tokens end. What the audit logs say of you stays. There is no way back: ${after}.</p>
${
  obstacles.length > 0
    ? html`<p class="bad">You are the last owner of ${obstacleText(obstacles)}: make another member an owner, or delete it, first.</p>`
    : html`<form method="post" action="/account/delete" class="stack">
<fieldset><legend>Your devices</legend>
<label class="check"><input type="radio" name="devices" value="revoke" checked> are revoked: their tunnels end</label>
<label class="check"><input type="radio" name="devices" value="transfer"> go to an owner of their organization</label></fieldset>
<label>To delete your user, type ${viewer.name}<input name="confirm" required maxlength="254" autocomplete="off" spellcheck="false"></label>
<div class="actions"><button class="danger">Delete my user</button></div></form>`
}</section>`
}
