/** An organization: its devices, and the registration keys that let devices in unattended. */
import type { Seconds } from '../../protocol/time.ts'
import type { Organization } from '../organizations.ts'
import { renderExpiry, renderWaiting } from './custody-notices.ts'
import type { Custody, DeviceRow, RegistrationKeyRow } from './directories.ts'
import { when } from './format.ts'
import { type Html, html } from './html.ts'
import { notice, renderPage, type Viewer } from './layout.ts'

export interface OrganizationView {
  readonly viewer: Viewer
  readonly organization: Organization
  readonly custody: Custody
  readonly devices: readonly DeviceRow[]
  readonly registrationKeys: readonly RegistrationKeyRow[]
  readonly publicUrl: string
  readonly now: Seconds
  /** A registration key just made: this page alone ever shows it. */
  readonly newKey?: string
  readonly error?: string
}

/** How long a registration key may be made to last. Seconds, by the name pages show. */
export const KEY_LIFETIMES = {
  '1 hour': 3600,
  '1 day': 86_400,
  '7 days': 7 * 86_400,
  '30 days': 30 * 86_400,
  '90 days': 90 * 86_400,
} as const

export function renderOrganization(view: OrganizationView): string {
  const { viewer, organization, error, newKey } = view
  return renderPage({
    title: organization.name,
    viewer,
    content: html`<p class="path"><a href="/">Organizations</a> /</p>
<h1>${organization.name}</h1>
<p class="faint">Id <code>${organization.id}</code></p>
${error !== undefined && notice('error', error)}
${renderExpiry(view.custody)}
${newKey !== undefined && renderNewKey(view, newKey)}
${renderDevices(view)}
${renderKeys(view)}`,
  })
}

function renderNewKey({ organization, publicUrl }: OrganizationView, key: string): Html {
  return notice(
    'done',
    html`<strong>Copy this registration key now: it is not shown again.</strong>
<code class="block">${key}</code>
On the new device: <code class="block">nexd up --registry '${publicUrl}#${organization.id}' --registration-key ${key}</code>`,
  )
}

function renderDevices({ organization, custody, devices, now, publicUrl }: OrganizationView): Html {
  const reference = `${publicUrl}#${organization.id}`
  const add = html`<p>Add a device: run <code>nexd up --registry '${reference}'</code> on it and <a href="/device">approve it here</a>.</p>`
  if (devices.length === 0) {
    return html`<section class="card"><h2>Devices</h2><p>No device yet.</p>${add}</section>`
  }
  return html`<section class="card">
<h2>Devices <span class="count">${devices.length}</span></h2>
<div class="scroll"><table>
<thead><tr><th>Name</th><th>Addresses</th><th>Owner</th><th>May advertise</th><th>Last renewal</th><th>Certificate ends</th><th></th></tr></thead>
<tbody>${devices.map((device) => renderRow(organization, device, custody, now))}</tbody>
</table></div>
${add}</section>`
}

function renderRow(
  organization: Organization,
  device: DeviceRow,
  custody: Custody,
  now: Seconds,
): Html {
  const path = `/organizations/${organization.id}/devices/${device.id}`
  const over = device.notAfter !== 0 && device.notAfter <= now
  return html`<tr>
<td><a href="${path}"><strong>${device.name}</strong></a>${renderWaiting(custody, device.id)}<br><span class="faint">${device.system}</span></td>
<td class="code">${lines(device.addresses)}</td>
<td>${device.owner}</td>
<td class="code">${lines(device.prefixes)}</td>
<td>${when(device.renewedAt, now)}</td>
<td${over && html` class="bad"`}>${when(device.notAfter, now)}</td>
<td><a class="button small" href="${path}">Manage</a></td>
</tr>`
}

function renderKeys({ organization, registrationKeys, now }: OrganizationView): Html {
  const path = `/organizations/${organization.id}/registration-keys`
  return html`<section class="card">
<h2>Registration keys <span class="count">${registrationKeys.length}</span></h2>
<p>A registration key lets a device in without anybody approving it: for servers and images.</p>
${
  registrationKeys.length > 0 &&
  html`<div class="scroll"><table>
<thead><tr><th>Description</th><th>Uses</th><th>Made</th><th>Expires</th><th></th></tr></thead>
<tbody>${registrationKeys.map((key) => renderKey(path, key, now))}</tbody>
</table></div>`
}
<form method="post" action="${path}" class="row">
<label>Description<input name="description" required maxlength="64" placeholder="build servers"></label>
<label>Lasts<select name="lifetime">${Object.keys(KEY_LIFETIMES).map(
    (name) => html`<option${name === '1 day' && html` selected`}>${name}</option>`,
  )}</select></label>
<label class="check"><input type="checkbox" name="singleUse" value="yes" checked> for one device only</label>
<button class="primary">Create a key</button>
</form>
</section>`
}

function renderKey(path: string, key: RegistrationKeyRow, now: Seconds): Html {
  const over = key.expiresAt <= now || (key.singleUse && key.uses > 0)
  return html`<tr${over && html` class="over"`}>
<td>${key.description}</td>
<td>${key.uses}${key.singleUse && ' of 1'}</td>
<td>${when(key.createdAt, now)}</td>
<td>${when(key.expiresAt, now)}</td>
<td><form method="post" action="${path}/${key.id}/revoke"><button class="small danger">${over ? 'Remove' : 'Revoke'}</button></form></td>
</tr>`
}

function lines(texts: readonly string[]): Html {
  if (texts.length === 0) return html`<span class="faint">–</span>`
  return html`${texts.map((text, at) => html`${at > 0 && html`<br>`}${text}`)}`
}
