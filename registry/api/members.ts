/** Routes of an organization's members. */
import { z } from 'zod'
import type { DevicesOfLeaver, Members } from '../members.ts'
import { pageOf } from '../page.ts'
import { MEMBER_ROLES } from '../roles.ts'
import { ADMINS, ANY_MEMBER } from './access.ts'
import { MOMENT } from './fields.ts'
import { ID, memberRoute, type Route } from './route.ts'

export interface MemberApiParts {
  readonly members: Members
}

const MEMBER = z.object({
  user: z.string(),
  name: z.string(),
  role: z.enum(MEMBER_ROLES),
  since: MOMENT,
  signedInAt: MOMENT.optional(),
})
/** What becomes of the devices of who goes: they stay until their certificates end, are revoked, or go to
 *  the member that `transferTo` names. */
const REMOVAL = z
  .strictObject({
    devices: z.enum(['keep', 'revoke', 'transfer']).default('keep'),
    transferTo: ID.optional(),
  })
  .refine(({ devices, transferTo }) => (devices === 'transfer') === (transferTo !== undefined), {
    message: 'goes with devices=transfer, and only with that',
    path: ['transferTo'],
  })

const MEMBERS = '/organizations/:organization/members'
const ONE_MEMBER = '/organizations/:organization/members/:user'

export const MEMBER_ROUTES: readonly Route<MemberApiParts>[] = [
  memberRoute({
    method: 'GET',
    path: MEMBERS,
    operation: 'listMembers',
    summary: 'Who belongs to the organization, and as what',
    scope: 'read',
    roles: ANY_MEMBER,
    paginated: true,
    answer: pageOf('members', MEMBER),
    handle: async ({ members }: MemberApiParts, { organization, page }) => {
      const { items, ...next } = await members.page(organization, page)
      return { members: items, ...next }
    },
  }),
  memberRoute({
    method: 'PATCH',
    path: ONE_MEMBER,
    operation: 'changeMember',
    summary: 'Gives a member another role; owners may give all, admins those below their own',
    scope: 'members:write',
    roles: ADMINS,
    body: z.strictObject({ role: z.enum(MEMBER_ROLES) }),
    handle: ({ members }: MemberApiParts, { organization, params, body, act }) =>
      members.setRole(organization, act, params.user, body.role),
  }),
  memberRoute({
    method: 'DELETE',
    path: ONE_MEMBER,
    operation: 'removeMember',
    summary: 'Removes a member, or leaves; says what becomes of their devices',
    scope: 'members:write',
    roles: ANY_MEMBER,
    query: REMOVAL,
    handle: ({ members }: MemberApiParts, { organization, params, query, act }) =>
      members.remove(organization, act, params.user, devicesOf(query)),
  }),
]

function devicesOf({ devices, transferTo }: z.output<typeof REMOVAL>): DevicesOfLeaver {
  if (devices !== 'transfer') return devices
  return { transferTo: transferTo ?? '' } // there, or REMOVAL has refused
}
