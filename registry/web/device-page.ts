/** One device of an organization: what it is, asks for and may do, and its removal. */
import { ROLES, type Role } from '../../protocol/membership-certificate.ts'
import type { Seconds } from '../../protocol/time.ts'
import type { Organization } from '../organizations.ts'
import { when } from './format.ts'
import { GROUP_LIST_CHARACTERS } from './group-list.ts'
import { type Html, html } from './html.ts'
import { notice, renderPage } from './layout.ts'
import { mayGrant, type OrganizationFrame } from './organization-frame.ts'
import { isAsking, type LiveDevice } from './organization-page.ts'
import type { OwnerChoice } from './owner-choice.ts'

export interface DeviceView extends OrganizationFrame {
  readonly device: LiveDevice
  /** Theirs, or they are an admin. */
  readonly mayChange: boolean
  /** Who may own it instead: only for admins. */
  readonly owners: OwnerChoice
  readonly now: Seconds
}

export function renderDevice(view: DeviceView): string {
  const { viewer, organization, device, error, mayChange } = view
  const path = pathOf(organization, device)
  return renderPage({
    title: device.name,
    viewer,
    content: html`<p class="path"><a href="/">Organizations</a> / <a href="/organizations/${organization.id}">${organization.name}</a> /</p>
<h1>${device.name}</h1>
${error !== undefined && notice('error', error)}
${renderFacts(view)}
${mayGrant(view) && isAsking(device) && renderRequests(path, device)}
${mayGrant(view) && renderGrants(path, device)}
${mayGrant(view) && renderRoles(path, device)}
${mayGrant(view) && renderOwner(path, view)}
${mayChange && renderMetadata(path, device)}
${
  mayChange &&
  html`<section class="card">
<h2>Remove</h2>
<p>Its certificate is revoked, and every other device drops its tunnel.</p>
<p><a class="button danger" href="${path}/remove">Remove this device…</a></p>
</section>`
}`,
  })
}

/** A device that a registration key let in goes by the key until somebody else owns it. */
function ownerText({ owner, ownerId }: LiveDevice, { members }: OwnerChoice): string {
  const { name = owner } = members.find(({ user }) => user === ownerId) ?? {}
  return name === owner ? owner : `${name}, let in by “${owner}”`
}

function renderFacts({ organization, device, owners, now, mayChange }: DeviceView): Html {
  return html`<section class="card"><dl>
<dt>State</dt><dd>${device.online ? html`<span class="online">online</span>` : html`${device.reached ? 'in touch with others' : 'offline'}, last seen ${when(device.seenAt, now)}`}</dd>
<dt>System</dt><dd>${device.system}</dd>
<dt>Addresses</dt><dd class="code">${device.addresses.join(', ') || '–'}</dd>
<dt>Owner</dt><dd>${ownerText(device, owners)}</dd>
<dt>Roles</dt><dd>${device.roles.join(', ') || '–'}</dd>
${device.claimedGroups.length > 0 && html`<dt>Groups of its owner</dt><dd>${device.claimedGroups.join(', ')}</dd>`}
${device.ephemeralAfter !== undefined && html`<dt>Removed when away</dt><dd>${device.ephemeralAfter} seconds</dd>`}
<dt>Last renewal</dt><dd>${when(device.renewedAt, now)}</dd>
<dt>Certificate ends</dt><dd>${when(device.notAfter, now)}</dd>
<dt>Id</dt><dd class="code">${device.id}</dd>
</dl>
${
  mayChange &&
  html`<form method="post" action="${pathOf(organization, device)}/name" class="row">
<label>Name<input name="name" value="${device.name}" required maxlength="63" spellcheck="false" autocapitalize="off"></label>
<button>Rename</button></form>`
}</section>`
}

function renderRequests(path: string, { requests }: LiveDevice): Html {
  const row = (
    kind: 'prefix' | 'role',
    value: string,
  ) => html`<tr><td>${kind === 'prefix' ? 'advertise' : 'be'} <span class="code">${value}</span></td><td>
<form method="post" action="${path}/requests" class="inline"><input type="hidden" name="kind" value="${kind}"><input type="hidden" name="value" value="${value}">
<button class="small primary" name="decision" value="grant">Allow ${value}</button>
<button class="small danger" name="decision" value="deny">Deny ${value}</button></form></td></tr>`
  return html`<section class="card"><h2>It asks to</h2>
<table><tbody>${requests.prefixes.map((each) => row('prefix', each))}${requests.roles.map((each) => row('role', each))}</tbody></table></section>`
}

function renderGrants(path: string, { prefixes, groups }: LiveDevice): Html {
  return html`<section class="card">
<h2>Prefixes it may advertise</h2>
${prefixes.length === 0 ? html`<p>None yet.</p>` : renderPrefixes(path, prefixes)}
<form method="post" action="${path}/prefixes" class="row">
<label>Prefix<input name="prefix" required maxlength="64" placeholder="10.99.0.1/32" spellcheck="false" autocapitalize="off"></label>
<button class="primary">Grant</button>
</form>
</section>
<section class="card"><h2>Groups</h2>
<form method="post" action="${path}/groups" class="row">
<label>Groups, separated by commas<input name="groups" value="${groups.join(', ')}" maxlength="${GROUP_LIST_CHARACTERS}"></label>
<button>Save groups</button></form></section>`
}

const MEANING: Readonly<Record<Role, string>> = {
  relay: 'carries what others cannot send each other directly',
  router: 'forwards for others to the prefixes that it may advertise',
  'exit-node': 'is a way out to the Internet for others',
}

function renderRoles(path: string, { roles }: LiveDevice): Html {
  return html`<section class="card"><h2>Roles</h2>
<form method="post" action="${path}/roles" class="boxes">
${ROLES.map(
  (role) =>
    html`<label class="check"><input type="checkbox" name="roles" value="${role}"${roles.includes(role) && html` checked`}> ${role}: ${MEANING[role]}</label>`,
)}
<div class="actions"><button>Save roles</button></div></form></section>`
}

/** Nobody is chosen where its owner is none of those listed: no member any more, or one of many. */
function renderOwner(path: string, { device, owners: { members, areMore } }: DeviceView): Html {
  const isListed = members.some(({ user }) => user === device.ownerId)
  return html`<section class="card"><h2>Owner</h2>
<p>Who owns it may name, describe and remove it, and it has the groups of their sign-in.</p>
<form method="post" action="${path}/owner" class="row">
<label>Owned by<select name="owner"${!areMore && html` required`}>${!isListed && html`<option value="" selected>${device.owner}${!areMore && ' (no member)'}</option>`}${members.map(
    ({ user, name }) =>
      html`<option value="${user}"${user === device.ownerId && html` selected`}>${name}</option>`,
  )}</select></label>
${areMore && html`<label>or a member who is not listed<input name="named" maxlength="254" placeholder="e-mail address" spellcheck="false" autocapitalize="off" autocomplete="off"></label>`}
<button>Change owner</button></form></section>`
}

function renderPrefixes(path: string, prefixes: readonly string[]): Html {
  return html`<table><tbody>${prefixes.map(
    (prefix) => html`<tr><td class="code">${prefix}</td><td>
<form method="post" action="${path}/prefixes/withdraw"><input type="hidden" name="prefix" value="${prefix}"><button class="small danger" aria-label="Withdraw ${prefix}">Withdraw</button></form></td></tr>`,
  )}</tbody></table>`
}

function renderMetadata(path: string, { metadata }: LiveDevice): Html {
  const entries = Object.entries(metadata)
  return html`<section class="card"><h2>Notes</h2>
${
  entries.length > 0 &&
  html`<table><tbody>${entries.map(
    ([key, value]) => html`<tr><td class="code">${key}</td><td class="wrap">${value}</td><td>
<form method="post" action="${path}/metadata"><input type="hidden" name="key" value="${key}"><button class="small danger" name="remove" value="yes">Remove ${key}</button></form></td></tr>`,
  )}</tbody></table>`
}
<form method="post" action="${path}/metadata" class="row">
<label>Key<input name="key" required maxlength="64" placeholder="rack" spellcheck="false" autocapitalize="off"></label>
<label>Value<input name="value" maxlength="1024"></label>
<button>Save note</button></form></section>`
}

export function renderRemoval({
  viewer,
  organization,
  device,
}: Pick<DeviceView, 'viewer' | 'organization' | 'device'>): string {
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

export function pathOf(organization: Organization, device: Pick<LiveDevice, 'id'>): string {
  return `/organizations/${organization.id}/devices/${device.id}`
}
