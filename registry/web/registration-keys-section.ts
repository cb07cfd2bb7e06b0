/** Registration keys on an organization's page, with the ready command of a new one. */
import type { Seconds } from '../../protocol/time.ts'
import { renderDeviceCommand } from './device-command.ts'
import type { RegistrationKeyRow } from './directories.ts'
import { when } from './format.ts'
import { GROUP_LIST_CHARACTERS } from './group-list.ts'
import { type Html, html } from './html.ts'
import { notice } from './layout.ts'
import { mayGrant } from './organization-frame.ts'
import type { OrganizationView } from './organization-page.ts'

/** How long a registration key may be made to last. Seconds, by the name pages show. */
export const KEY_LIFETIMES = {
  '1 hour': 3600,
  '1 day': 86_400,
  '7 days': 7 * 86_400,
  '30 days': 30 * 86_400,
  '90 days': 90 * 86_400,
} as const

/** After how long away its devices are removed. Seconds; 0: never. */
export const AWAY_SPANS = { never: 0, '1 hour': 3600, '1 day': 86_400, '7 days': 604_800 } as const

export function renderNewKey({ organization, publicUrl }: OrganizationView, key: string): Html {
  return notice(
    'done',
    html`<strong>Copy this registration key now: it is not shown again.</strong>
<code class="block">${key}</code>
On the new device, in a clone of Nexodus: ${renderDeviceCommand(`${publicUrl}#${organization.id}`, ` --registration-key ${key}`)}`,
  )
}

export function renderKeys(view: OrganizationView): Html {
  const { organization, registrationKeys, now, mayCreateKeys } = view
  const path = `/organizations/${organization.id}/registration-keys`
  return html`<section class="card">
<h2>Registration keys <span class="count">${registrationKeys.length}</span></h2>
<p>A registration key lets a device in without anybody approving it: for servers and images.</p>
${
  registrationKeys.length > 0 &&
  html`<div class="scroll"><table class="acts">
<thead><tr><th>Description</th><th>Uses</th><th>Groups</th><th>Away</th><th>Made</th><th>Expires</th><th><span class="hidden">Actions</span></th></tr></thead>
<tbody>${registrationKeys.map((key) => renderKey(path, key, now))}</tbody>
</table></div>`
}
${mayCreateKeys && renderForm(path, mayGrant(view))}
</section>`
}

function renderForm(path: string, withGroups: boolean): Html {
  return html`<form method="post" action="${path}" class="row">
<label>Description<input name="description" required maxlength="64" placeholder="build servers"></label>
<label>Lasts<select name="lifetime">${Object.keys(KEY_LIFETIMES).map(
    (name) => html`<option${name === '1 day' && html` selected`}>${name}</option>`,
  )}</select></label>
${withGroups && html`<label>Groups<input name="groups" maxlength="${GROUP_LIST_CHARACTERS}" placeholder="servers, edge"></label>`}
<label>Remove when away<select name="away">${Object.keys(AWAY_SPANS).map((name) => html`<option>${name}</option>`)}</select></label>
<label class="check"><input type="checkbox" name="singleUse" value="yes" checked> for one device only</label>
<button class="primary">Create a key</button>
</form>`
}

function renderKey(path: string, key: RegistrationKeyRow, now: Seconds): Html {
  const over = key.expiresAt <= now || (key.singleUse && key.uses > 0)
  const end = over ? 'Remove' : 'Revoke'
  const away = Object.entries(AWAY_SPANS).find(([, value]) => value === (key.ephemeralAfter ?? 0))
  return html`<tr${over && html` class="over"`}>
<td><form method="post" action="${path}/${key.id}/description" class="inline"><input name="description" value="${key.description}" required maxlength="64" aria-label="Description of ${key.description}">
<button class="small" aria-label="Save description of ${key.description}">Save</button></form></td>
<td class="short">${key.uses}${key.singleUse && ' of 1'}</td>
<td>${key.groups.join(', ') || '–'}</td>
<td>${away?.[0] ?? `${key.ephemeralAfter} s`}</td>
<td>${when(key.createdAt, now)}</td>
<td>${when(key.expiresAt, now)}</td>
<td><form method="post" action="${path}/${key.id}/revoke"><button class="small danger" aria-label="${end} ${key.description}">${end}</button></form></td>
</tr>`
}
