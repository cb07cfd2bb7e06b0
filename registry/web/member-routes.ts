/** Routes of the members' page: roles, removal, invitations. */
import { type RequestHandler, Router } from 'express'
import { z } from 'zod'
import { seconds } from '../../protocol/time.ts'
import type { RegistryContext } from '../context.ts'
import type { DevicesOfLeaver, Member } from '../members.ts'
import { ProblemError, parseInput } from '../problem.ts'
import { isAtLeast, MEMBER_ROLES } from '../roles.ts'
import { sendPage } from './guard.ts'
import { sentence } from './layout.ts'
import { INVITATION_SPANS, renderMemberRemoval, renderMembers } from './members-page.ts'
import { forMembers, type OrganizationVisit } from './organization-visit.ts'
import type { PageParts } from './pages.ts'

export function memberRoutes(context: RegistryContext, parts: PageParts): RequestHandler {
  const router = Router({ mergeParams: true })
  const to = (handler: Handler) =>
    forMembers(context, parts, (visit) => handler(context, parts, visit))
  router.get('/members', to(showMembers))
  router.post('/members/:user/role', to(changeRole))
  router.get('/members/:user/remove', to(askRemoval))
  router.post('/members/:user/remove', to(remove))
  router.post('/invitations', to(invite))
  router.post('/invitations/:invitation/revoke', to(takeBack))
  return router
}

type Handler = (
  context: RegistryContext,
  parts: PageParts,
  visit: OrganizationVisit,
) => Promise<void>

async function showMembers(
  { clock }: RegistryContext,
  { people }: PageParts,
  visit: OrganizationVisit,
  also: { readonly newLink?: string; readonly error?: string } = {},
): Promise<void> {
  const { response, organization, role, who } = visit
  const members = await people.members.list(organization.id)
  const invitations = isAtLeast(role, 'admin')
    ? await people.invitations.listOf(organization.id)
    : []
  const view = { viewer: who, user: who.user, organization, role, members, invitations }
  const status = also.error === undefined ? 200 : 422
  sendPage(response, renderMembers({ ...view, now: clock.now(), ...also }), status)
}

/** What a form got wrong is told on the page it was on. Throws all else. */
function errorOf(error: unknown): string {
  if (error instanceof ProblemError && error.status >= 400 && error.status < 500) {
    if (error.status !== 404 || error.code === 'member-unknown') return sentence(error.message)
  }
  throw error
}

const roleWanted = z.object({ role: z.enum(MEMBER_ROLES) })

const changeRole: Handler = async (context, parts, visit) => {
  const { request, response, organization, act } = visit
  const { role } = parseInput(roleWanted, request.body)
  try {
    await parts.people.members.setRole(organization.id, act, String(request.params['user']), role)
  } catch (error) {
    return showMembers(context, parts, visit, { error: errorOf(error) })
  }
  response.redirect(303, `/organizations/${organization.id}/members`)
}

async function removal(
  { people, directories }: PageParts,
  { request, organization, role, who }: OrganizationVisit,
) {
  const members = await people.members.list(organization.id)
  const member = members.find(({ user }) => user === request.params['user'])
  if (member === undefined) {
    throw new ProblemError(404, 'member-unknown', 'the organization has no such member')
  }
  const others = members.filter((each: Member) => each !== member)
  const devices = await directories.devices.list(organization.id)
  const count = devices.filter(({ ownerId }) => ownerId === member.user).length
  return { viewer: who, user: who.user, organization, role, member, others, devices: count }
}

const askRemoval: Handler = async (_context, parts, visit) => {
  sendPage(visit.response, renderMemberRemoval(await removal(parts, visit)))
}

const removalWanted = z.object({
  devices: z.enum(['keep', 'revoke', 'transfer']),
  transferTo: z.string().max(64).default(''),
})

const remove: Handler = async (_context, parts, visit) => {
  const { request, response, organization, act, who } = visit
  const { devices, transferTo } = parseInput(removalWanted, request.body)
  const fate: DevicesOfLeaver = devices === 'transfer' ? { transferTo } : devices
  const user = String(request.params['user'])
  try {
    await parts.people.members.remove(organization.id, act, user, fate)
  } catch (error) {
    const view = { ...(await removal(parts, visit)), error: errorOf(error) }
    return sendPage(response, renderMemberRemoval(view), 422)
  }
  response.redirect(303, user === who.user ? '/' : `/organizations/${organization.id}/members`)
}

const invitationWanted = z.object({
  email: z.union([z.literal(''), z.email().max(254)]),
  role: z.enum(MEMBER_ROLES),
  lifetime: z.enum(Object.keys(INVITATION_SPANS) as (keyof typeof INVITATION_SPANS)[]),
})

const invite: Handler = async (context, parts, visit) => {
  const { request, organization, act } = visit
  try {
    const { email, role, lifetime } = parseInput(invitationWanted, request.body)
    const expiresAt = seconds(context.clock.now() + INVITATION_SPANS[lifetime])
    const wanted = { role, expiresAt, email: email === '' ? undefined : email }
    const { secret } = await parts.people.invitations.create(organization.id, act, wanted)
    const newLink = secret && `${context.publicUrl}/invitations/${secret}`
    await showMembers(context, parts, visit, newLink === undefined ? {} : { newLink })
  } catch (error) {
    await showMembers(context, parts, visit, { error: errorOf(error) })
  }
}

const takeBack: Handler = async (_context, parts, visit) => {
  const { request, response, organization, act } = visit
  const id = String(request.params['invitation'])
  if (!(await parts.people.invitations.revoke(organization.id, act, id))) {
    throw new ProblemError(404, 'invitation-unknown', 'there is no such invitation')
  }
  response.redirect(303, `/organizations/${organization.id}/members`)
}
