/** The start: the user's organizations. */
import type { Organization } from '../organizations.ts'
import { html } from './html.ts'
import { renderPage, type Viewer } from './layout.ts'

export interface OrganizationCard {
  readonly organization: Organization
  readonly devices: number
}

export function renderHome(
  viewer: Viewer,
  cards: readonly OrganizationCard[],
  publicUrl: string,
): string {
  return renderPage({
    title: 'Organizations',
    viewer,
    content: html`<h1>Your organizations</h1>
<div class="grid">${cards.map(
      ({ organization, devices }) => html`
<a class="card link" href="/organizations/${organization.id}">
<h2>${organization.name}</h2>
<p>${devices === 1 ? '1 device' : `${devices} devices`}</p>
<p class="faint code">${organization.id}</p>
</a>`,
    )}
</div>
<section class="card hint">
<h2>Add a device</h2>
<p>Run <code>nexd up --registry ${publicUrl}</code> on it. It shows a code and a link to <a href="/device">the approval page</a>.</p>
</section>`,
  })
}
