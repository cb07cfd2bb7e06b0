/** An organization's settings, for its owners; and the form that makes one. */
import {
  ORGANIZATION_NAME_CHARACTERS,
  type OrganizationDetails,
} from '../organization-lifecycle.ts'
import { type Html, html } from './html.ts'
import { notice, renderPage, type Viewer } from './layout.ts'
import { type OrganizationFrame, renderInOrganization } from './organization-frame.ts'

/** Seconds, by the name pages show; 0: no rule of its own. */
export const LIFETIME_CHOICES = {
  'as the registry says (a day)': 0,
  '1 hour': 3600,
  '12 hours': 43_200,
  '3 days': 259_200,
  '7 days': 604_800,
} as const
export const REAUTHENTICATION_CHOICES = {
  never: 0,
  'every day': 86_400,
  'every 7 days': 604_800,
  'every 30 days': 2_592_000,
  'every 90 days': 7_776_000,
} as const

export interface SettingsView extends OrganizationFrame {
  readonly details: OrganizationDetails
  readonly devices: number
  readonly saved?: boolean | undefined
}

export function renderSettings(view: SettingsView): string {
  const { organization, details, saved } = view
  const { settings, ranges } = details
  const path = `/organizations/${organization.id}/settings`
  return renderInOrganization(
    view,
    'Settings',
    html`${saved === true && notice('done', 'Saved.')}
<section class="card"><h2>Rules</h2>
<form method="post" action="${path}" class="stack">
<label>Name<input name="name" value="${organization.name}" required maxlength="${ORGANIZATION_NAME_CHARACTERS}"></label>
<label class="check"><input type="checkbox" name="approvalRequired" value="yes"${settings.approvalRequired && html` checked`}> an admin must agree to every device that a member brings in</label>
<label>Certificates last<select name="membershipLifetime">${choices(LIFETIME_CHOICES, settings.membershipLifetime)}</select>
<small>A device renews at half of it, and is out after it at the latest.</small></label>
<label>Owners of devices must sign in again<select name="reauthenticateAfter">${choices(REAUTHENTICATION_CHOICES, settings.reauthenticateAfter)}</select></label>
<div class="actions"><button class="primary">Save</button></div>
</form></section>
<section class="card"><h2>Addresses</h2>
<dl><dt>IPv4</dt><dd class="code">${ranges[0]}</dd><dt>IPv6</dt><dd class="code">${ranges[1]}</dd></dl></section>
${renderDeletion(view)}`,
  )
}

function renderDeletion({ organization, devices }: SettingsView): Html {
  return html`<section class="card"><h2>Delete</h2>
<p>${
    devices === 0
      ? 'The organization has no devices.'
      : devices === 1
        ? 'Its 1 device is removed.'
        : `Its ${devices} devices are removed, and every tunnel between them ends.`
  } There is no way back.</p>
<form method="post" action="/organizations/${organization.id}/delete" class="row">
<label>To delete it, type its name<input name="name" required autocomplete="off"></label>
<button class="danger">Delete ${organization.name}</button>
</form></section>`
}

function choices(all: Readonly<Record<string, number>>, chosen: number | undefined): Html {
  const isKnown = Object.values(all).includes(chosen ?? 0)
  return html`${Object.entries(all).map(
    ([name, value]) =>
      html`<option value="${value}"${value === (chosen ?? 0) && html` selected`}>${name}</option>`,
  )}${!isKnown && html`<option value="${chosen}" selected>${chosen} seconds</option>`}`
}

export interface NewOrganizationForm {
  readonly viewer: Viewer
  readonly name?: string | undefined
  readonly ipv4?: string | undefined
  readonly ipv6?: string | undefined
  readonly error?: string | undefined
}

export function renderNewOrganization({
  viewer,
  name,
  ipv4,
  ipv6,
  error,
}: NewOrganizationForm): string {
  return renderPage({
    title: 'New organization',
    viewer,
    narrow: true,
    content: html`<section class="card">
<h1>New organization</h1>
<p>A network of its own: members, devices, addresses and rules are no other’s business.</p>
${error !== undefined && notice('error', error)}
<form method="post" action="/organizations" class="stack">
<label>Name<input name="name" value="${name ?? ''}" required maxlength="${ORGANIZATION_NAME_CHARACTERS}" autofocus></label>
<details${(ipv4 || ipv6) && html` open`}><summary>Address ranges of its own</summary>
<label>IPv4 range<input name="ipv4" value="${ipv4 ?? ''}" maxlength="64" placeholder="100.64.0.0/10" spellcheck="false"></label>
<label>IPv6 range<input name="ipv6" value="${ipv6 ?? ''}" maxlength="64" placeholder="chosen at random" spellcheck="false">
<small>Private ones only, and they cannot be changed later.</small></label></details>
<div class="actions"><button class="primary">Make it</button><a class="button" href="/">Back</a></div>
</form></section>`,
  })
}
