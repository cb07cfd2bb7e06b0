/** Routes of one device's page. */
import { type RequestHandler, Router } from 'express'
import { z } from 'zod'
import { type Prefix, parsePrefix } from '../../protocol/address.ts'
import { MalformedError } from '../../protocol/errors.ts'
import type { OrganizationId } from '../../protocol/keys.ts'
import { ROLES } from '../../protocol/membership-certificate.ts'
import type { RegistryContext } from '../context.ts'
import type { DeviceChange } from '../device-change.ts'
import { checkName } from '../enrolment.ts'
import { type Members, ownerFor } from '../members.ts'
import { ProblemError, parseInput } from '../problem.ts'
import { isAtLeast, requireRole } from '../roles.ts'
import type { Database } from '../store/database.ts'
import { pathOf, renderDevice, renderRemoval } from './device-page.ts'
import { GROUP_LIST } from './group-list.ts'
import { sendPage } from './guard.ts'
import { sentence } from './layout.ts'
import { liveDevices } from './live-devices.ts'
import type { LiveDevice } from './organization-page.ts'
import { forMembers, type OrganizationVisit } from './organization-visit.ts'
import { NO_CHOICE, ownerChoice, wantedOwner } from './owner-choice.ts'
import type { PageParts } from './pages.ts'

type Handler = (
  context: RegistryContext,
  parts: PageParts,
  visit: OrganizationVisit,
) => Promise<void>

export function deviceRoutes(context: RegistryContext, parts: PageParts): RequestHandler {
  const router = Router({ mergeParams: true })
  const to = (handler: Handler) =>
    forMembers(context, parts, (visit) => handler(context, parts, visit))
  router.get('/devices/:device', to(showDevice))
  router.get('/devices/:device/remove', to(askRemoval))
  router.post('/devices/:device/remove', to(removeDevice))
  router.post('/devices/:device/name', to(changing(nameWanted, own)))
  router.post('/devices/:device/metadata', to(changing(noteWanted, own)))
  router.post('/devices/:device/groups', to(changing(groupsWanted, admins)))
  router.post('/devices/:device/roles', to(changing(rolesWanted, admins)))
  router.post('/devices/:device/owner', to(changing(ownerWanted, admins)))
  router.post('/devices/:device/prefixes', to(changing(granted, admins)))
  router.post('/devices/:device/prefixes/withdraw', to(changing(withdrawn, admins)))
  router.post('/devices/:device/requests', to(decide))
  return router
}

async function deviceOf(
  context: RegistryContext,
  parts: PageParts,
  visit: OrganizationVisit,
): Promise<LiveDevice> {
  const devices = await liveDevices(context, parts, visit)
  const device = devices.find(({ id }) => id === visit.request.params['device'])
  if (device === undefined) throw deviceNotFound()
  return device
}

function deviceNotFound(): ProblemError {
  return new ProblemError(404, 'device-not-found', 'the organization has no such device (any more)')
}

function mayChange({ role, who }: OrganizationVisit, { ownerId }: LiveDevice): boolean {
  return isAtLeast(role, 'admin') || ownerId === who.user
}

/** A device's owner may name, describe and remove it. Throws Refused (role-needed). */
function own(visit: OrganizationVisit, device: LiveDevice): void {
  if (!mayChange(visit, device)) requireRole(visit.role, 'admin')
}

function admins({ role }: OrganizationVisit): void {
  requireRole(role, 'admin')
}

async function showDevice(
  context: RegistryContext,
  parts: PageParts,
  visit: OrganizationVisit,
  error?: string,
): Promise<void> {
  const { response, who, organization, role } = visit
  const device = await deviceOf(context, parts, visit)
  const { members } = parts.people
  const owners = isAtLeast(role, 'admin') ? await ownerChoice(members, organization.id) : NO_CHOICE
  const now = context.clock.now()
  const view = { viewer: who, organization, role, device, owners, now, error }
  const page = renderDevice({ ...view, mayChange: mayChange(visit, device) })
  sendPage(response, page, error === undefined ? 200 : 422)
}

const askRemoval: Handler = async (context, parts, visit) => {
  const { response, who, organization } = visit
  const device = await deviceOf(context, parts, visit)
  own(visit, device)
  sendPage(response, renderRemoval({ viewer: who, organization, device }))
}

const removeDevice: Handler = async (context, parts, visit) => {
  const { response, organization, act } = visit
  const device = await deviceOf(context, parts, visit)
  own(visit, device)
  const removed = await parts.directories.devices.remove(organization.id, device.id, act)
  if (!removed) throw deviceNotFound()
  response.redirect(303, `/organizations/${organization.id}`)
}

/** What a form asks for, of the device as it is. */
type Wanted = (
  body: unknown,
  device: LiveDevice,
  place: {
    readonly database: Database
    readonly organization: OrganizationId
    readonly members: Members
  },
) => DeviceChange | Promise<DeviceChange>

const nameWanted: Wanted = (body) => {
  const { name } = parseInput(z.object({ name: z.string().trim().max(64) }), body)
  return { name: checkName(name) }
}

const groupsWanted: Wanted = (body) => parseInput(z.object({ groups: GROUP_LIST }), body)

/** One box is sent as text, several as a list, none not at all. */
const rolesWanted: Wanted = (body) => {
  const role = z.enum(ROLES)
  const boxes = z.union([role.transform((one) => [one]), z.array(role).max(ROLES.length)])
  const { roles } = parseInput(z.object({ roles: boxes.default([]) }), body)
  return { roles: [...new Set(roles)] }
}

const ownerWanted: Wanted = async (body, _, { database, organization, members }) => {
  const owner = await wantedOwner(members, organization, body)
  return { owner: await ownerFor(database, organization, owner) }
}

const noteWanted: Wanted = (body) => {
  const note = z.object({
    key: z.string().trim().max(64),
    value: z.string().max(1024).default(''),
    remove: z.literal('yes').optional(),
  })
  const { key, value, remove } = parseInput(note, body)
  return { metadata: { [key]: remove === 'yes' ? null : value } }
}

const granted: Wanted = (body, { prefixes }) => ({ prefixes: [...prefixes, prefixIn(body)] })

const withdrawn: Wanted = (body, { prefixes }) => {
  const prefix = prefixIn(body)
  return { prefixes: prefixes.filter((each) => each !== prefix) }
}

function prefixIn(body: unknown): Prefix {
  return prefixOf(parseInput(z.object({ prefix: z.string().trim().max(64) }), body).prefix)
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

/** Whoever sent the form can mend it: also where it names a member who has left meanwhile. */
function isOfTheForm(error: unknown): error is ProblemError {
  if (!(error instanceof ProblemError)) return false
  return [400, 409, 422].includes(error.status) || error.code === 'member-unknown'
}

/** A form that changes the device: what is wrong with it is told on the device's page. */
function changing(
  wanted: Wanted,
  check: (visit: OrganizationVisit, device: LiveDevice) => void,
): Handler {
  return async (context, parts, visit) => {
    const { request, response, organization, act } = visit
    const device = await deviceOf(context, parts, visit)
    check(visit, device)
    try {
      const { members } = parts.people
      const place = { database: context.database, organization: organization.id, members }
      const change = await wanted(request.body, device, place)
      const changed = await parts.people.devices.change(organization.id, device.id, change, act)
      if (changed === undefined) throw deviceNotFound()
    } catch (error) {
      if (!isOfTheForm(error)) throw error
      return showDevice(context, parts, visit, sentence(error.message))
    }
    response.redirect(303, pathOf(organization, device))
  }
}

const decision = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('prefix'),
    value: z.string().max(64),
    decision: z.enum(['grant', 'deny']),
  }),
  z.object({
    kind: z.literal('role'),
    value: z.enum(ROLES),
    decision: z.enum(['grant', 'deny']),
  }),
])

const decide: Handler = async (context, parts, visit) => {
  const { request, response, organization, act } = visit
  admins(visit)
  const device = await deviceOf(context, parts, visit)
  const asked = parseInput(decision, request.body)
  const about =
    asked.kind === 'prefix'
      ? { prefixes: [prefixOf(asked.value)], roles: [] }
      : { prefixes: [], roles: [asked.value] }
  const none = { prefixes: [], roles: [] }
  const word =
    asked.decision === 'grant' ? { grant: about, deny: none } : { grant: none, deny: about }
  await parts.people.devices.decide(organization.id, device.id, word, act)
  response.redirect(303, pathOf(organization, device))
}
