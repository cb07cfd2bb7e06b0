/** Routes under /organizations/<id>: everything here is for its members; to others it does not exist. */
import { type Request, type RequestHandler, type Response, Router } from 'express'
import { z } from 'zod'
import { type Prefix, parsePrefix } from '../../protocol/address.ts'
import { MalformedError } from '../../protocol/errors.ts'
import { seconds } from '../../protocol/time.ts'
import type { Act } from '../act.ts'
import type { RegistryContext } from '../context.ts'
import { actOf } from '../http-act.ts'
import type { SignedIn } from '../identity/identity.ts'
import { type Organization, organizationFor } from '../organizations.ts'
import { ProblemError, parseInput } from '../problem.ts'
import { pathOf, renderDevice, renderRemoval } from './device-page.ts'
import type { DeviceRow } from './directories.ts'
import { forUsers, sendPage } from './guard.ts'
import { sentence } from './layout.ts'
import { KEY_LIFETIMES, renderOrganization } from './organization-page.ts'
import type { PageParts } from './pages.ts'

interface Visit {
  readonly request: Request
  readonly response: Response
  readonly who: SignedIn
  readonly organization: Organization
  readonly act: Act
}

export function organizationRoutes(context: RegistryContext, parts: PageParts): RequestHandler {
  const router = Router({ mergeParams: true })
  const forMembers = (handler: (visit: Visit) => Promise<void>) =>
    forUsers(parts.identity, async (request, response, who) => {
      const id = String(request.params['organization'])
      const organization = await organizationFor(context.database, who.user, id)
      const act = actOf(request, who, context.clock.now())
      await handler({ request, response, who, organization, act })
    })
  router.get(
    '/',
    forMembers((visit) => showOrganization(context, parts, visit)),
  )
  router.post(
    '/registration-keys',
    forMembers((visit) => createKey(context, parts, visit)),
  )
  router.post(
    '/registration-keys/:key/revoke',
    forMembers((visit) => revokeKey(parts, visit)),
  )
  router.get(
    '/devices/:device',
    forMembers((visit) => showDevice(context, parts, visit)),
  )
  router.get(
    '/devices/:device/remove',
    forMembers((visit) => askRemoval(parts, visit)),
  )
  router.post(
    '/devices/:device/remove',
    forMembers((visit) => removeDevice(parts, visit)),
  )
  router.post(
    '/devices/:device/prefixes',
    forMembers((v) => changePrefix(context, parts, v, true)),
  )
  router.post(
    '/devices/:device/prefixes/withdraw',
    forMembers((visit) => changePrefix(context, parts, visit, false)),
  )
  return router
}

async function showOrganization(
  { clock, publicUrl }: RegistryContext,
  { directories }: PageParts,
  { response, who, organization }: Visit,
  also: { readonly newKey?: string } = {},
): Promise<void> {
  const [custody, devices, registrationKeys] = await Promise.all([
    directories.custody(organization.id),
    directories.devices.list(organization.id),
    directories.registrationKeys.list(organization.id),
  ])
  const view = { viewer: who, organization, custody, devices, registrationKeys, publicUrl }
  sendPage(response, renderOrganization({ ...view, now: clock.now(), ...also }))
}

const lifetimes = Object.keys(KEY_LIFETIMES) as (keyof typeof KEY_LIFETIMES)[]
const keyWanted = z.object({
  description: z.string().trim().min(1).max(64),
  lifetime: z.enum(lifetimes),
  singleUse: z.literal('yes').optional(),
})

async function createKey(context: RegistryContext, parts: PageParts, visit: Visit): Promise<void> {
  const { description, lifetime, singleUse } = parseInput(keyWanted, visit.request.body)
  const { id, secret } = await parts.directories.registrationKeys.create(
    visit.organization.id,
    {
      description,
      singleUse: singleUse === 'yes',
      expiresAt: seconds(context.clock.now() + KEY_LIFETIMES[lifetime]),
    },
    visit.act,
  )
  const about = { key: id, organization: visit.organization.id, user: visit.who.user }
  context.log('info', 'registration-key.created', about)
  await showOrganization(context, parts, visit, { newKey: secret })
}

async function revokeKey({ directories }: PageParts, visit: Visit): Promise<void> {
  const { request, response, organization, act } = visit
  const key = String(request.params['key'])
  if (!(await directories.registrationKeys.revoke(organization.id, key, act))) {
    throw new ProblemError(404, 'registration-key-not-found', 'there is no such registration key')
  }
  response.redirect(303, `/organizations/${organization.id}`)
}

async function deviceOf(
  { directories }: PageParts,
  { request, organization }: Visit,
): Promise<DeviceRow> {
  const devices = await directories.devices.list(organization.id)
  const device = devices.find(({ id }) => id === request.params['device'])
  if (device === undefined) throw deviceNotFound()
  return device
}

function deviceNotFound(): ProblemError {
  return new ProblemError(404, 'device-not-found', 'the organization has no such device (any more)')
}

async function showDevice(
  { clock }: RegistryContext,
  parts: PageParts,
  visit: Visit,
  error?: string,
): Promise<void> {
  const { response, who, organization } = visit
  const device = await deviceOf(parts, visit)
  const view = { viewer: who, organization, device, now: clock.now() }
  const page = renderDevice({ ...view, ...(error !== undefined && { error }) })
  sendPage(response, page, error === undefined ? 200 : 422)
}

async function askRemoval(parts: PageParts, visit: Visit): Promise<void> {
  const { response, who, organization } = visit
  const device = await deviceOf(parts, visit)
  sendPage(response, renderRemoval({ viewer: who, organization, device }))
}

async function removeDevice({ directories }: PageParts, visit: Visit): Promise<void> {
  const { request, response, organization, act } = visit
  const device = String(request.params['device'])
  const removed = await directories.devices.remove(organization.id, device, act)
  if (!removed) throw deviceNotFound()
  response.redirect(303, `/organizations/${organization.id}`)
}

const prefixWanted = z.object({ prefix: z.string().trim().max(64) })

async function changePrefix(
  context: RegistryContext,
  parts: PageParts,
  visit: Visit,
  granted: boolean,
): Promise<void> {
  const { devices } = parts.directories
  const { organization, request, response, who, act } = visit
  const { id } = await deviceOf(parts, visit)
  const wanted = parseInput(prefixWanted, request.body).prefix
  try {
    const prefix = prefixOf(wanted)
    const change = granted ? devices.grantPrefix : devices.withdrawPrefix
    if (!(await change(organization.id, id, prefix, act))) throw deviceNotFound()
    const about = { device: id, prefix, organization: organization.id, user: who.user }
    context.log('info', granted ? 'prefix.granted' : 'prefix.withdrawn', about)
  } catch (error) {
    if (!(error instanceof ProblemError) || error.status === 404 || error.status >= 500) throw error
    return showDevice(context, parts, visit, sentence(error.message))
  }
  response.redirect(303, pathOf(organization, { id }))
}

/** Throws a 422 problem that says what is wrong with it. */
function prefixOf(text: string): Prefix {
  try {
    return parsePrefix(text)
  } catch (cause) {
    if (!(cause instanceof MalformedError)) throw cause
    throw new ProblemError(422, 'prefix-invalid', cause.message, { field: 'prefix', cause })
  }
}
