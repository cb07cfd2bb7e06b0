/** One device of an organization: what it may advertise, and its removal. */
import type { Seconds } from '../../protocol/time.ts'
import type { Organization } from '../organizations.ts'
import type { DeviceRow } from './directories.ts'
import { when } from './format.ts'
import { type Html, html } from './html.ts'
import { notice, renderPage, type Viewer } from './layout.ts'

export interface DeviceView {
  readonly viewer: Viewer
  readonly organization: Organization
  readonly device: DeviceRow
  readonly now: Seconds
  readonly error?: string
}

export function renderDevice({ viewer, organization, device, now, error }: DeviceView): string {
  const path = pathOf(organization, device)
  return renderPage({
    title: device.name,
    viewer,
    content: html`${trail(organization)}
<h1>${device.name}</h1>
${error !== undefined && notice('error', error)}
<section class="card"><dl>
<dt>System</dt><dd>${device.system}</dd>
<dt>Addresses</dt><dd class="code">${device.addresses.join(', ') || '–'}</dd>
<dt>Owner</dt><dd>${device.owner}</dd>
<dt>Last renewal</dt><dd>${when(device.renewedAt, now)}</dd>
<dt>Certificate ends</dt><dd>${when(device.notAfter, now)}</dd>
<dt>Id</dt><dd class="code">${device.id}</dd>
</dl></section>
<section class="card">
<h2>Prefixes it may advertise</h2>
${device.prefixes.length === 0 ? html`<p>None yet.</p>` : renderPrefixes(path, device.prefixes)}
<form method="post" action="${path}/prefixes" class="row">
<label>Prefix<input name="prefix" required maxlength="64" placeholder="10.99.0.1/32" spellcheck="false" autocapitalize="off"></label>
<button class="primary">Grant</button>
</form>
</section>
<section class="card">
<h2>Remove</h2>
<p>Its certificate is revoked, and every other device drops its tunnel.</p>
<p><a class="button danger" href="${path}/remove">Remove this device…</a></p>
</section>`,
  })
}

function renderPrefixes(path: string, prefixes: readonly string[]): Html {
  return html`<table><tbody>${prefixes.map(
    (prefix) => html`<tr><td class="code">${prefix}</td><td>
<form method="post" action="${path}/prefixes/withdraw"><input type="hidden" name="prefix" value="${prefix}"><button class="small danger">Withdraw</button></form></td></tr>`,
  )}</tbody></table>`
}

export function renderRemoval({ viewer, organization, device }: Omit<DeviceView, 'now'>): string {
  const path = pathOf(organization, device)
  return renderPage({
    title: `Remove ${device.name}`,
    viewer,
    narrow: true,
    content: html`<section class="card">
<h1>Remove ${device.name}?</h1>
<p>It leaves <strong>${organization.name}</strong> at once. To come back it must be approved again.</p>
<p class="code">${device.addresses.join(', ')}</p>
<form method="post" action="${path}/remove" class="actions">
<button class="danger">Remove it</button>
<a class="button" href="${path}">Keep it</a>
</form>
</section>`,
  })
}

export function pathOf(organization: Organization, device: Pick<DeviceRow, 'id'>): string {
  return `/organizations/${organization.id}/devices/${device.id}`
}

function trail(organization: Organization): Html {
  return html`<p class="path"><a href="/">Organizations</a> / <a href="/organizations/${organization.id}">${organization.name}</a> /</p>`
}
