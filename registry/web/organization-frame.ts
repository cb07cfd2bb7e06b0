/** The frame of an organization's pages: its name, and the way between them. */
import type { Membership } from '../organizations.ts'
import { isAtLeast, type MemberRole } from '../roles.ts'
import { type Html, html } from './html.ts'
import { notice, renderPage, type Viewer } from './layout.ts'

export interface OrganizationFrame extends Membership {
  readonly viewer: Viewer
  readonly error?: string | undefined
}

/** By the end of its path; for whom it is. */
const TABS: readonly (readonly [path: string, name: string, least: MemberRole])[] = [
  ['', 'Devices', 'member'],
  ['/network', 'Network', 'member'],
  ['/members', 'Members', 'member'],
  ['/policy', 'Policy', 'member'],
  ['/audit', 'Audit log', 'admin'],
  ['/settings', 'Settings', 'owner'],
]

/** @param tab name of the tab that is open */
export function renderInOrganization(
  { viewer, organization, role, error }: OrganizationFrame,
  tab: string,
  content: Html,
): string {
  const home = `/organizations/${organization.id}`
  return renderPage({
    title: tab === 'Devices' ? organization.name : `${tab} · ${organization.name}`,
    viewer,
    content: html`<p class="path"><a href="/">Organizations</a> /</p>
<h1>${organization.name}</h1>
<p class="faint">Id <code>${organization.id}</code> · you are ${role}</p>
<nav class="tabs" aria-label="Organization">${TABS.filter(([, , least]) =>
      isAtLeast(role, least),
    ).map(
      ([path, name]) =>
        html`<a href="${home}${path}"${name === tab && html` aria-current="page"`}>${name}</a>`,
    )}</nav>
${error !== undefined && notice('error', error)}
${content}`,
  })
}

export const ROLE_NAMES: Readonly<Record<MemberRole, string>> = {
  member: 'member: own devices',
  admin: 'admin: all devices, members',
  owner: 'owner: everything',
}

export function roleChoice(roles: readonly MemberRole[], chosen: MemberRole): Html {
  return html`${roles.map(
    (role) =>
      html`<option value="${role}"${role === chosen && html` selected`}>${ROLE_NAMES[role]}</option>`,
  )}`
}

/** May the viewer change what others notice of the device? */
export function mayGrant({ role }: Pick<OrganizationFrame, 'role'>): boolean {
  return isAtLeast(role, 'admin')
}
