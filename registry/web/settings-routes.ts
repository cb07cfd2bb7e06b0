/** Routes that make, change and delete an organization, and show its audit log. */
import { type RequestHandler, Router } from 'express'
import { z } from 'zod'
import { auditPage } from '../audit.ts'
import type { RegistryContext } from '../context.ts'
import { actOf } from '../http-act.ts'
import { membershipIn } from '../organizations.ts'
import { PAGE_QUERY } from '../page.ts'
import { parseInput } from '../problem.ts'
import { requireRole } from '../roles.ts'
import { renderAudit } from './audit-page.ts'
import { formError } from './form-error.ts'
import { forUsers, sendPage } from './guard.ts'
import { forMembers, type OrganizationVisit } from './organization-visit.ts'
import type { PageParts } from './pages.ts'
import { renderNewOrganization, renderSettings } from './settings-page.ts'

type Handler = (
  context: RegistryContext,
  parts: PageParts,
  visit: OrganizationVisit,
) => Promise<void>

/** Under /organizations/<id>. */
export function settingsRoutes(context: RegistryContext, parts: PageParts): RequestHandler {
  const router = Router({ mergeParams: true })
  const to = (handler: Handler) =>
    forMembers(context, parts, (visit) => handler(context, parts, visit))
  router.get('/settings', to(show))
  router.post('/settings', to(save))
  router.post('/delete', to(remove))
  router.get('/audit', to(showAudit))
  return router
}

async function show(
  context: RegistryContext,
  { people, directories }: PageParts,
  { response, organization: { id }, role, who }: OrganizationVisit,
  also: { readonly error?: string; readonly saved?: boolean } = {},
): Promise<void> {
  requireRole(role, 'owner')
  const { organization } = await membershipIn(context.database, who.user, id)
  const details = await people.lifecycle.details(id)
  const devices = (await directories.devices.list(id)).length
  const page = renderSettings({ viewer: who, organization, role, details, devices, ...also })
  sendPage(response, page, also.error === undefined ? 200 : 422)
}

const wanted = z.object({
  name: z.string().max(512),
  approvalRequired: z.literal('yes').optional(),
  membershipLifetime: z.coerce.number().int().nonnegative(),
  reauthenticateAfter: z.coerce.number().int().nonnegative(),
})

const save: Handler = async (context, parts, visit) => {
  const { request, organization, act } = visit
  const { lifecycle } = parts.people
  try {
    const { name, approvalRequired, ...seconds } = parseInput(wanted, request.body)
    await lifecycle.rename(organization.id, act, name)
    await lifecycle.changeSettings(organization.id, act, {
      approvalRequired: approvalRequired === 'yes',
      membershipLifetime: seconds.membershipLifetime || null,
      reauthenticateAfter: seconds.reauthenticateAfter || null,
    })
  } catch (error) {
    return show(context, parts, visit, { error: formError(error) })
  }
  await show(context, parts, visit, { saved: true })
}

const deletion = z.object({ name: z.string().max(512) })

const remove: Handler = async (context, parts, visit) => {
  const { request, response, organization, act } = visit
  const { name } = parseInput(deletion, request.body)
  if (name.trim() !== organization.name) {
    const error = 'That is not its name: nothing was deleted.'
    return show(context, parts, visit, { error })
  }
  await parts.people.lifecycle.delete(organization.id, act, true)
  response.redirect(303, '/')
}

const auditQuery = z.object({ cursor: PAGE_QUERY.cursor })
/** Entries on a page. */
const ENTRIES = 50

const showAudit: Handler = async ({ database, clock }, _parts, visit) => {
  const { request, response, organization, role, who } = visit
  requireRole(role, 'admin')
  const { cursor } = parseInput(auditQuery, request.query)
  const asked = { limit: ENTRIES, reverse: true, ...(cursor !== undefined && { cursor }) }
  const { items, next } = await auditPage(database, organization.id, asked)
  const view = { viewer: who, organization, role, entries: items, next, now: clock.now() }
  sendPage(response, renderAudit(view))
}

const newWanted = z.object({
  name: z.string().max(512),
  ipv4: z.string().trim().max(64).default(''),
  ipv6: z.string().trim().max(64).default(''),
})

/** Under /organizations, before those of one. */
export function newOrganizationRoutes(
  context: RegistryContext,
  { identity, people }: PageParts,
): RequestHandler {
  const router = Router()
  router.get(
    '/new',
    forUsers(identity, (_request, response, who) =>
      sendPage(response, renderNewOrganization({ viewer: who })),
    ),
  )
  router.post(
    '/',
    forUsers(identity, async (request, response, who) => {
      const form = parseInput(newWanted, request.body)
      const ranges = { ipv4: form.ipv4 || undefined, ipv6: form.ipv6 || undefined }
      try {
        const act = actOf(request, who, context.clock.now())
        const id = await people.lifecycle.create(act, { name: form.name, ...ranges })
        response.redirect(303, `/organizations/${id}`)
      } catch (error) {
        const view = { viewer: who, ...form, error: formError(error) }
        sendPage(response, renderNewOrganization(view), 422)
      }
    }),
  )
  return router
}
