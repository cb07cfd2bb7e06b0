/** An organization: its devices, what waits for an admin, and the registration keys. */
import type { Seconds } from '../../protocol/time.ts'
import type { LiveFacts } from '../device-presence.ts'
import type { Device } from '../devices.ts'
import type { JoinRequest } from '../join-requests.ts'
import type { Organization } from '../organizations.ts'
import { renderExpiry, renderWaiting } from './custody-notices.ts'
import { renderAddDevice } from './device-command.ts'
import type { Custody, RegistrationKeyRow } from './directories.ts'
import { when } from './format.ts'
import { type Html, html } from './html.ts'
import { type OrganizationFrame, renderInOrganization } from './organization-frame.ts'
import { renderKeys, renderNewKey } from './registration-keys-section.ts'

export interface LiveDevice extends Device, LiveFacts {
  /** Not online, but others say that they are in touch with it. */
  readonly reached: boolean
}

/** Which devices are shown. */
export interface DeviceFilter {
  /** In name, owner, system, group or address. */
  readonly text: string
  readonly state: (typeof STATES)[number]
}
export const STATES = ['all', 'online', 'offline', 'asking'] as const

export interface OrganizationView extends OrganizationFrame {
  readonly custody: Custody
  readonly devices: readonly LiveDevice[]
  readonly filter: DeviceFilter
  /** Only for admins. */
  readonly joinRequests: readonly JoinRequest[]
  /** Those that the viewer may see. */
  readonly registrationKeys: readonly RegistrationKeyRow[]
  readonly mayCreateKeys: boolean
  readonly publicUrl: string
  readonly now: Seconds
  /** A registration key just made: this page alone ever shows it. */
  readonly newKey?: string
}

export function renderOrganization(view: OrganizationView): string {
  return renderInOrganization(
    view,
    'Devices',
    html`${renderExpiry(view.custody)}
${view.newKey !== undefined && renderNewKey(view, view.newKey)}
${view.joinRequests.length > 0 && renderJoinRequests(view)}
${renderDevices(view)}
${(view.mayCreateKeys || view.registrationKeys.length > 0) && renderKeys(view)}`,
  )
}

export function isAsking({ requests }: Device): boolean {
  return requests.prefixes.length + requests.roles.length > 0
}

export function passes(device: LiveDevice, { text, state }: DeviceFilter): boolean {
  if (state === 'online' && !device.online) return false
  if (state === 'offline' && (device.online || device.reached)) return false
  if (state === 'asking' && !isAsking(device)) return false
  const { name, owner, system, addresses, groups, claimedGroups } = device
  const words = [name, owner, system, ...addresses, ...groups, ...claimedGroups]
  return words.some((word) => word.toLowerCase().includes(text.toLowerCase()))
}

function renderJoinRequests({ organization, joinRequests, now }: OrganizationView): Html {
  const path = `/organizations/${organization.id}/join-requests`
  return html`<section class="card"><h2>Devices that wait for you <span class="count">${joinRequests.length}</span></h2>
<div class="scroll"><table class="acts"><thead><tr><th>Name</th><th>Let in by</th><th>Asks from</th><th>Key fingerprint</th><th>Expires</th><th><span class="hidden">Actions</span></th></tr></thead>
<tbody>${joinRequests.map(
    (
      each,
    ) => html`<tr><td><strong>${each.name}</strong><br><span class="faint">${each.system}</span></td>
<td>${each.owner}</td><td class="code">${each.requestedFrom}</td><td class="code wrap">${each.fingerprint}</td><td>${when(each.expiresAt, now)}</td>
<td><form method="post" action="${path}/${each.id}" class="inline"><button class="small primary" name="decision" value="approve" aria-label="Approve ${each.name}">Approve</button>
<button class="small danger" name="decision" value="deny" aria-label="Deny ${each.name}">Deny</button></form></td></tr>`,
  )}</tbody></table></div></section>`
}

function renderDevices(view: OrganizationView): Html {
  const { organization, devices, filter, publicUrl } = view
  const reference = `${publicUrl}#${organization.id}`
  const add = html`<h3>Add a device</h3>
${renderAddDevice(reference)}`
  if (devices.length === 0) {
    return html`<section class="card"><h2>Devices</h2><p>No device yet.</p>${add}</section>`
  }
  const shown = devices.filter((device) => passes(device, filter))
  return html`<section class="card">
<h2>Devices <span class="count">${shown.length === devices.length ? shown.length : `${shown.length} of ${devices.length}`}</span></h2>
${renderFilter(view)}
${
  shown.length === 0
    ? html`<p>No device is like that. <a href="/organizations/${organization.id}">Show all</a></p>`
    : renderTable(view, shown)
}
${add}</section>`
}

function renderTable(
  { organization, custody, now }: OrganizationView,
  shown: readonly LiveDevice[],
): Html {
  return html`<div class="scroll"><table class="acts">
<thead><tr><th>Name</th><th>Addresses</th><th>Owner</th><th>Groups</th><th>May advertise</th><th>Seen</th><th>Certificate ends</th><th><span class="hidden">Actions</span></th></tr></thead>
<tbody>${shown.map((device) => renderRow(organization, device, custody, now))}</tbody>
</table></div>`
}

function renderFilter({ organization, filter }: OrganizationView): Html {
  return html`<form method="get" action="/organizations/${organization.id}" class="row filter" role="search">
<label>Find<input type="search" name="text" value="${filter.text}" maxlength="64" placeholder="name, owner, group or address"></label>
<label>Show<select name="state">${STATES.map(
    (state) => html`<option${state === filter.state && html` selected`}>${state}</option>`,
  )}</select></label>
<button>Filter</button></form>`
}

function renderRow(
  organization: Organization,
  device: LiveDevice,
  custody: Custody,
  now: Seconds,
): Html {
  const path = `/organizations/${organization.id}/devices/${device.id}`
  const over = device.notAfter !== 0 && device.notAfter <= now
  const groups = [...new Set([...device.groups, ...device.claimedGroups])]
  return html`<tr>
<td><a href="${path}"><strong>${device.name}</strong></a>${isAsking(device) && html` <span class="tag">asks</span>`}${renderWaiting(custody, device.id)}<br><span class="faint">${device.system}</span></td>
<td class="code">${lines(device.addresses)}</td>
<td>${device.owner}</td>
<td>${lines(groups)}</td>
<td class="code">${lines(device.prefixes)}</td>
<td>${presence(device, now)}</td>
<td${over && html` class="bad"`}>${when(device.notAfter, now)}</td>
<td><a class="button small" href="${path}">Manage</a></td>
</tr>`
}

function presence({ online, reached, seenAt }: LiveDevice, now: Seconds): Html {
  if (online) return html`<span class="online">online</span>`
  if (reached) return html`in touch with others`
  return html`${when(seenAt, now)}`
}

export function lines(texts: readonly string[]): Html {
  if (texts.length === 0) return html`<span class="faint">–</span>`
  return html`${texts.map((text, at) => html`${at > 0 && html`<br>`}${text}`)}`
}
