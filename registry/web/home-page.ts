/** The start: the user's organizations. */
import type { Seconds } from '../../protocol/time.ts'
import type { Invitation } from '../invitations.ts'
import type { Organization } from '../organizations.ts'
import { renderAddDevice } from './device-command.ts'
import { when } from './format.ts'
import { html } from './html.ts'
import { renderPage, type Viewer } from './layout.ts'

export interface OrganizationCard {
  readonly organization: Organization
  readonly devices: number
}

export interface HomeView {
  readonly viewer: Viewer
  readonly cards: readonly OrganizationCard[]
  /** That wait for the viewer's word. */
  readonly invitations: readonly Invitation[]
  readonly publicUrl: string
  readonly now: Seconds
}

export function renderHome({ viewer, cards, invitations, publicUrl, now }: HomeView): string {
  return renderPage({
    title: 'Organizations',
    viewer,
    content: html`${invitations.map(
      ({ id, organizationName, role, invitedBy, expiresAt }) => html`<section class="card">
<h2>You are invited to ${organizationName}</h2>
<p><strong>${invitedBy}</strong> invites you as <strong>${role}</strong>; the invitation ends ${when(expiresAt, now)}.</p>
<div class="actions"><form method="post" action="/invitations/by-address/${id}/accept"><button class="primary">Join</button></form>
<form method="post" action="/invitations/by-address/${id}/decline"><button>Decline</button></form></div></section>`,
    )}
<h1>Your organizations</h1>
${cards.length === 0 && html`<p>You belong to no organization yet: make one, or ask to be invited to one.</p>`}
<div class="grid">${cards.map(
      ({ organization, devices }) => html`
<a class="card link" href="/organizations/${organization.id}">
<h2>${organization.name}</h2>
<p>${devices === 1 ? '1 device' : `${devices} devices`}</p>
<p class="faint code">${organization.id}</p>
</a>`,
    )}
</div>
<p><a class="button" href="/organizations/new">New organization</a></p>
${
  cards.length > 0 &&
  html`<section class="card hint">
<h2>Add a device</h2>
${renderAddDevice(publicUrl)}
</section>`
}`,
  })
}
