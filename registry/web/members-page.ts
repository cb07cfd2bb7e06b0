/** Members of an organization, and invitations to it. */
import type { Seconds } from '../../protocol/time.ts'
import type { Invitation } from '../invitations.ts'
import type { Member } from '../members.ts'
import type { UserId } from '../organizations.ts'
import { isAtLeast, MEMBER_ROLES, mayGive } from '../roles.ts'
import { when } from './format.ts'
import { type Html, html } from './html.ts'
import { notice, renderPage } from './layout.ts'
import { type OrganizationFrame, renderInOrganization, roleChoice } from './organization-frame.ts'

export interface MembersView extends OrganizationFrame {
  readonly user: UserId
  readonly members: readonly Member[]
  /** Only for admins. */
  readonly invitations: readonly Invitation[]
  readonly now: Seconds
  /** A link just made: this page alone ever shows it. */
  readonly newLink?: string | undefined
}

/** How long an invitation may be made to last. Seconds, by the name pages show. */
export const INVITATION_SPANS = {
  '1 day': 86_400,
  '7 days': 604_800,
  '30 days': 2_592_000,
} as const

export function renderMembers(view: MembersView): string {
  const { role, newLink } = view
  return renderInOrganization(
    view,
    'Members',
    html`${
      newLink !== undefined &&
      notice(
        'done',
        html`<strong>Give this link to the person you invite. It works once and is not shown again.</strong>
<code class="block">${newLink}</code>`,
      )
    }
<section class="card"><h2>Members <span class="count">${view.members.length}</span></h2>
<table class="cards">
<thead><tr><th>Name</th><th>Role</th><th><span class="hidden">Actions</span></th></tr></thead>
<tbody>${view.members.map((member) => renderMember(view, member))}</tbody>
</table></section>
${isAtLeast(role, 'admin') && renderInvitations(view)}`,
  )
}

function renderMember(view: MembersView, member: Member): Html {
  const { organization, role, user, now } = view
  const path = `/organizations/${organization.id}/members/${member.user}`
  const given = MEMBER_ROLES.filter((each) => mayGive(role, each))
  const mayChange = mayGive(role, member.role) && given.length > 1
  const isSelf = member.user === user
  return html`<tr>
<td><strong>${member.name}</strong>${isSelf && html` <span class="faint">(you)</span>`}<br>
<span class="faint">joined ${when(member.since, now)}${member.signedInAt !== undefined && html`, last signed in ${when(member.signedInAt, now)}`}</span></td>
<td>${
    mayChange
      ? html`<form method="post" action="${path}/role" class="inline">
<select name="role" aria-label="Role of ${member.name}">${roleChoice(given, member.role)}</select>
<button class="small" aria-label="Change role of ${member.name}">Change</button></form>`
      : member.role
  }</td>
<td>${
    (isSelf || mayGive(role, member.role)) &&
    html`<a class="button small danger" href="${path}/remove"${!isSelf && html` aria-label="Remove… ${member.name}"`}>${isSelf ? 'Leave…' : 'Remove…'}</a>`
  }</td>
</tr>`
}

function renderInvitations({ organization, invitations, role, now }: MembersView): Html {
  const path = `/organizations/${organization.id}/invitations`
  const given = MEMBER_ROLES.filter((each) => mayGive(role, each))
  return html`<section class="card"><h2>Invitations <span class="count">${invitations.length}</span></h2>
<p>With an e-mail address, only who signs in with that verified address may accept; they see it on their start page.
Without one you get a link, for whoever opens it first.</p>
${
  invitations.length > 0 &&
  html`<div class="scroll"><table class="acts">
<thead><tr><th>For</th><th>Role</th><th>Invited by</th><th>Expires</th><th><span class="hidden">Actions</span></th></tr></thead>
<tbody>${invitations.map(
    (each) => html`<tr${(each.accepted || each.expiresAt <= now) && html` class="over"`}>
<td>${each.email ?? 'whoever has the link'}</td><td>${each.role}</td><td>${each.invitedBy}</td>
<td>${each.accepted ? 'accepted' : when(each.expiresAt, now)}</td>
<td><form method="post" action="${path}/${each.id}/revoke"><button class="small danger" aria-label="${each.accepted ? 'Remove' : 'Take back'} the invitation for ${each.email ?? 'whoever has the link'}">${each.accepted ? 'Remove' : 'Take back'}</button></form></td></tr>`,
  )}</tbody></table></div>`
}
<form method="post" action="${path}" class="row">
<label>E-mail address (or empty, for a link)<input type="email" name="email" maxlength="254" autocomplete="off"></label>
<label>Role<select name="role">${roleChoice(given, 'member')}</select></label>
<label>Lasts<select name="lifetime">${Object.keys(INVITATION_SPANS).map(
    (name) => html`<option${name === '7 days' && html` selected`}>${name}</option>`,
  )}</select></label>
<button class="primary">Invite</button>
</form></section>`
}

export interface RemovalView extends OrganizationFrame {
  readonly user: UserId
  readonly member: Member
  readonly others: readonly Member[]
  readonly devices: number
}

export function renderMemberRemoval(view: RemovalView): string {
  const { viewer, organization, member, user, error } = view
  const isSelf = member.user === user
  return renderPage({
    title: `Remove ${member.name}`,
    viewer,
    narrow: true,
    content: html`<section class="card">
<h1>${isSelf ? `Leave ${organization.name}?` : `Remove ${member.name}?`}</h1>
${error !== undefined && notice('error', error)}
<p>${isSelf ? 'You see nothing of it any more, and come back only by an invitation.' : 'They see nothing of it any more, and come back only by an invitation.'}</p>
<form method="post" action="/organizations/${organization.id}/members/${member.user}/remove" class="stack">
${renderFates(view)}
<div class="actions"><button class="danger">${isSelf ? 'Leave' : 'Remove'}</button>
<a class="button" href="/organizations/${organization.id}/members">Back</a></div>
</form></section>`,
  })
}

/** What becomes of the devices, where there are any. */
function renderFates({ member, others, devices, user }: RemovalView): Html {
  if (devices === 0) return html`<input type="hidden" name="devices" value="revoke">`
  const whose = member.user === user ? 'yours' : 'theirs'
  const [are, stay, their, go] =
    devices === 1
      ? ['is', 'stays', 'its certificate ends', 'goes']
      : ['are', 'stay', 'their certificates end', 'go']
  return html`<fieldset><legend>${devices === 1 ? '1 device' : `${devices} devices`} of ${whose}</legend>
<label class="check"><input type="radio" name="devices" value="revoke" checked> ${are} removed at once</label>
<label class="check"><input type="radio" name="devices" value="keep"> ${stay} until ${their}</label>
${
  others.length > 0 &&
  html`<label class="check"><input type="radio" name="devices" value="transfer"> ${go} to another member</label>
<label>Who<select name="transferTo">${others.map((each) => html`<option value="${each.user}">${each.name}</option>`)}</select></label>`
}</fieldset>`
}
