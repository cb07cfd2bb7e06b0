/** Accounts of the embedded provider, for the one who may invite: the first user. */
import type { Seconds } from '../../protocol/time.ts'
import type { Account } from '../identity/accounts.ts'
import { when } from './format.ts'
import { html } from './html.ts'
import { notice, renderPage, type Viewer } from './layout.ts'

export interface UsersView {
  readonly viewer: Viewer
  readonly accounts: readonly Account[]
  readonly now: Seconds
  /** A link just made: this page alone ever shows it. */
  readonly invitationUrl?: string
}

export function renderUsers({ viewer, accounts, now, invitationUrl }: UsersView): string {
  return renderPage({
    title: 'Users',
    viewer,
    content: html`<h1>Users</h1>
${
  invitationUrl !== undefined &&
  notice(
    'done',
    html`<strong>Give this link to the person you invite. It works once, for a day, and is not shown again.</strong>
<code class="block">${invitationUrl}</code>`,
  )
}
<section class="card">
<table><thead><tr><th>E-mail</th><th>Since</th><th>May</th></tr></thead>
<tbody>${accounts.map(
      ({ email, createdAt, admin }) =>
        html`<tr><td>${email}</td><td>${when(createdAt as Seconds, now)}</td><td class="faint">${admin && 'may invite others'}</td></tr>`,
    )}</tbody></table>
<form method="post" action="/users/invitations" class="row">
<label>Their e-mail address (or empty, for them to choose)<input type="email" name="email" maxlength="254" autocomplete="off"></label>
<button class="primary">Invite a user</button></form>
</section>`,
  })
}
