/** Routes under /organizations/<id>: everything here is for its members; to others it does not exist. */
import { type RequestHandler, Router } from 'express'
import { z } from 'zod'
import { seconds } from '../../protocol/time.ts'
import { decideJoin } from '../approval.ts'
import type { RegistryContext } from '../context.ts'
import { requestIdOf } from '../http-request-id.ts'
import { joinRequestsIn } from '../join-requests.ts'
import { ProblemError, parseInput } from '../problem.ts'
import { isAtLeast, requireRole } from '../roles.ts'
import { deviceRoutes } from './device-routes.ts'
import { formError } from './form-error.ts'
import { GROUP_LIST } from './group-list.ts'
import { sendPage } from './guard.ts'
import { liveDevices } from './live-devices.ts'
import { memberRoutes } from './member-routes.ts'
import { networkRoutes } from './network-routes.ts'
import { renderOrganization, STATES } from './organization-page.ts'
import { forMembers, type OrganizationVisit } from './organization-visit.ts'
import type { PageParts } from './pages.ts'
import { policyRoutes } from './policy-routes.ts'
import { AWAY_SPANS, KEY_LIFETIMES } from './registration-keys-section.ts'
import { settingsRoutes } from './settings-routes.ts'

type Handler = (
  context: RegistryContext,
  parts: PageParts,
  visit: OrganizationVisit,
) => Promise<void>

export function organizationRoutes(context: RegistryContext, parts: PageParts): RequestHandler {
  const router = Router({ mergeParams: true })
  const to = (handler: Handler) =>
    forMembers(context, parts, (visit) => handler(context, parts, visit))
  router.get('/', to(showOrganization))
  router.post('/registration-keys', to(onPage(createKey)))
  router.post('/registration-keys/:key/revoke', to(revokeKey))
  router.post('/registration-keys/:key/description', to(onPage(describeKey)))
  router.post('/join-requests/:request', to(decideJoinRequest))
  router.use(deviceRoutes(context, parts), memberRoutes(context, parts))
  router.use(policyRoutes(context, parts), settingsRoutes(context, parts))
  router.use(networkRoutes(context, parts))
  return router
}

const filterAsked = z.object({
  text: z.string().max(64).default(''),
  state: z.enum(STATES).default('all'),
})

async function showOrganization(
  context: RegistryContext,
  parts: PageParts,
  visit: OrganizationVisit,
  also: { readonly newKey?: string; readonly error?: string } = {},
): Promise<void> {
  const { request, response, who, organization, role } = visit
  const { clock, database, publicUrl } = context
  const isAdmin = isAtLeast(role, 'admin')
  const { settings } = await parts.people.lifecycle.details(organization.id)
  const keys = await parts.directories.registrationKeys.list(organization.id)
  const now = clock.now()
  const page = renderOrganization({
    ...{ viewer: who, organization, role, publicUrl, now, ...also },
    custody: await parts.directories.custody(organization.id),
    devices: await liveDevices(context, parts, visit),
    filter: parseInput(filterAsked, request.query),
    joinRequests: isAdmin ? await joinRequestsIn(database, organization.id, now) : [],
    registrationKeys: keys.filter(({ createdBy }) => isAdmin || createdBy === who.user),
    mayCreateKeys: isAdmin || !settings.approvalRequired,
  })
  sendPage(response, page, also.error === undefined ? 200 : 422)
}

const lifetimes = Object.keys(KEY_LIFETIMES) as (keyof typeof KEY_LIFETIMES)[]
const spans = Object.keys(AWAY_SPANS) as (keyof typeof AWAY_SPANS)[]
const description = z.string().trim().min(1, 'say what it is for').max(64)
const keyWanted = z.object({
  description,
  lifetime: z.enum(lifetimes),
  away: z.enum(spans).default('never'),
  groups: GROUP_LIST.default([]),
  singleUse: z.literal('yes').optional(),
})

/** What is wrong with the form is told on the organization's page. */
function onPage(handler: Handler): Handler {
  return async (context, parts, visit) => {
    try {
      await handler(context, parts, visit)
    } catch (error) {
      await showOrganization(context, parts, visit, { error: formError(error) })
    }
  }
}

const createKey: Handler = async (context, parts, visit) => {
  const { organization, role, act, who } = visit
  const wanted = parseInput(keyWanted, visit.request.body)
  const { groups } = wanted
  const { settings } = await parts.people.lifecycle.details(organization.id)
  if (settings.approvalRequired || groups.length > 0) requireRole(role, 'admin')
  const away = AWAY_SPANS[wanted.away]
  const { id, secret } = await parts.directories.registrationKeys.create(
    organization.id,
    {
      ...{ description: wanted.description, groups, singleUse: wanted.singleUse === 'yes' },
      expiresAt: seconds(context.clock.now() + KEY_LIFETIMES[wanted.lifetime]),
      ...(away > 0 && { ephemeralAfter: away }),
    },
    act,
  )
  const about = { key: id, organization: organization.id, user: who.user }
  const request = requestIdOf(visit.request)
  context.log('info', 'registration-key.created', { id: request, ...about })
  await showOrganization(context, parts, visit, { newKey: secret })
}

/** The id of a key that the visitor may change. Throws a 404 problem. */
async function ownKey({ directories }: PageParts, visit: OrganizationVisit): Promise<string> {
  const { request, organization, role, who } = visit
  const keys = await directories.registrationKeys.list(organization.id)
  const key = keys.find(({ id }) => id === request.params['key'])
  if (key !== undefined && (isAtLeast(role, 'admin') || key.createdBy === who.user)) return key.id
  throw new ProblemError(404, 'registration-key-not-found', 'there is no such registration key')
}

const revokeKey: Handler = async (_context, parts, visit) => {
  const { response, organization, act } = visit
  await parts.directories.registrationKeys.revoke(organization.id, await ownKey(parts, visit), act)
  response.redirect(303, `/organizations/${organization.id}`)
}

const describeKey: Handler = async (_context, parts, visit) => {
  const { request, response, organization, act } = visit
  const text = parseInput(z.object({ description }), request.body).description
  const id = await ownKey(parts, visit)
  await parts.directories.registrationKeys.describe(organization.id, id, text, act)
  response.redirect(303, `/organizations/${organization.id}`)
}

const decision = z.object({ decision: z.enum(['approve', 'deny']) })

const decideJoinRequest: Handler = async (context, { people }, visit) => {
  const { request, response, organization, act } = visit
  const approved = parseInput(decision, request.body).decision === 'approve'
  const asked = { id: String(request.params['request']), by: act, approved }
  if (!(await decideJoin({ ...context, ...people }, organization.id, asked))) {
    throw new ProblemError(404, 'join-request-unknown', 'no such device waits (any more)')
  }
  response.redirect(303, `/organizations/${organization.id}`)
}
