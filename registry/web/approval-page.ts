/** The device-authorization page (RFC 8628 §3.3): a person looks at a waiting device and decides. */
import type { Seconds } from '../../protocol/time.ts'
import type { Organization } from '../organizations.ts'
import type { PendingDevice } from './directories.ts'
import { when } from './format.ts'
import { type Html, html } from './html.ts'
import { DESCRIBED, fieldNotice, renderPage, type Viewer } from './layout.ts'

export function renderCodeEntry(
  viewer: Viewer,
  { code, error }: { code?: string; error?: string },
): string {
  return renderPage({
    title: 'Approve a device',
    viewer,
    narrow: true,
    content: html`<section class="card">
<h1>Approve a device</h1>
${error !== undefined && fieldNotice(error)}
<form method="get" action="/device" class="stack">
<label>Code shown on the device
<input name="code" class="usercode" value="${code ?? ''}" required maxlength="32" placeholder="XXXX-XXXX" autocomplete="off" autocapitalize="characters" spellcheck="false" autofocus${error !== undefined && DESCRIBED}></label>
<button class="primary">Continue</button>
</form>
</section>`,
  })
}

export interface ApprovalView {
  readonly viewer: Viewer
  readonly pending: PendingDevice
  readonly organizations: readonly Organization[]
  readonly now: Seconds
}

export function renderApproval({ viewer, pending, organizations, now }: ApprovalView): string {
  return renderPage({
    title: 'Approve a device',
    viewer,
    narrow: true,
    content: html`<section class="card">
<h1>Let this device in?</h1>
<p>Approve only a device that you have before you and that shows this code.</p>
<p class="usercode">${pending.userCode}</p>
<dl>
<dt>Name</dt><dd><strong>${pending.name}</strong></dd>
<dt>System</dt><dd>${pending.system}</dd>
<dt>Asks from</dt><dd class="code">${pending.requestedFrom}</dd>
<dt>Key fingerprint</dt><dd class="code">${pending.fingerprint}</dd>
<dt>Expires</dt><dd>${when(pending.expiresAt, now)}</dd>
</dl>
${renderChoice(pending.userCode, organizations)}
</section>`,
  })
}

function renderChoice(userCode: string, organizations: readonly Organization[]): Html {
  const mayApprove = organizations.length > 0
  return html`<form method="post" action="/device" class="stack">
<input type="hidden" name="user_code" value="${userCode}">
${
  mayApprove
    ? html`<label>Organization<select name="organization">${organizations.map(
        ({ id, name }) => html`<option value="${id}">${name}</option>`,
      )}</select></label>`
    : html`<p>You belong to no organization that it could join. <a href="/organizations/new">Make an organization</a> first, and open this page again.</p>`
}
<div class="actions">${mayApprove && html`<button class="primary" name="decision" value="approve">Approve</button>`}
<button class="danger" name="decision" value="deny">Deny</button></div>
</form>`
}

export interface DecisionView {
  readonly viewer: Viewer
  readonly pending: PendingDevice
  /** Whose device it is now; none: it was denied. */
  readonly organization?: Organization
  /** An admin of it has to agree. */
  readonly waits?: boolean
}

export function renderDecision({ viewer, pending, organization, waits }: DecisionView): string {
  if (waits === true && organization !== undefined)
    return renderWaiting(viewer, pending, organization)
  return renderPage({
    title: organization === undefined ? 'Denied' : 'Approved',
    viewer,
    narrow: true,
    content:
      organization === undefined
        ? html`<section class="card"><h1>Denied</h1><p><strong>${pending.name}</strong> was not let in.</p>
<p><a class="button" href="/">Back to the start</a></p></section>`
        : html`<section class="card"><h1>Approved</h1>
<p><strong>${pending.name}</strong> is joining <strong>${organization.name}</strong>. You can close this page.</p>
<p><a class="button" href="/organizations/${organization.id}">See its devices</a></p></section>`,
  })
}

function renderWaiting(
  viewer: Viewer,
  { name }: PendingDevice,
  organization: Organization,
): string {
  return renderPage({
    title: 'An admin has to agree',
    viewer,
    narrow: true,
    content: html`<section class="card"><h1>An admin has to agree</h1>
<p><strong>${name}</strong> joins <strong>${organization.name}</strong> as soon as one of its admins says yes. You can close this page, and leave the device as it is.</p>
<p><a class="button" href="/organizations/${organization.id}">See its devices</a></p></section>`,
  })
}
