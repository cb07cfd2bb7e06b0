/** The API of people: what the pages do, for programs that hold a session. */
import { type Request, Router } from 'express'
import { z } from 'zod'
import { parsePrefix } from '../../protocol/address.ts'
import type { Clock } from '../../protocol/clock.ts'
import { MalformedError } from '../../protocol/errors.ts'
import type { OrganizationId } from '../../protocol/keys.ts'
import { GROUPS, PREFIXES, TEXT_CHARACTERS } from '../../protocol/limits.ts'
import { ROLES } from '../../protocol/membership-certificate.ts'
import { seconds } from '../../protocol/time.ts'
import type { Devices } from '../devices.ts'
import { checkName } from '../enrolment.ts'
import type { Sessions } from '../identity/sessions.ts'
import { organizationFor, organizationsOf, type UserId } from '../organizations.ts'
import { ProblemError, parseInput } from '../problem.ts'
import { rateLimit } from '../rate-limit.ts'
import type { DeviceDirectory, RegistrationKeyDirectory } from '../web/directories.ts'
import { addNamesRoutes, type NamesApiParts } from './names.ts'

export interface PeopleApiParts extends NamesApiParts {
  readonly sessions: Pick<Sessions, 'find'>
  readonly devices: Devices
  readonly directory: Pick<DeviceDirectory, 'remove'>
  readonly registrationKeys: RegistrationKeyDirectory
  readonly clock: Pick<Clock, 'now'>
}

const LABEL = z
  .string()
  .min(1)
  .max(TEXT_CHARACTERS)
  .regex(/^\P{Cc}*$/u, 'holds control characters')
const DEVICE_CHANGE = z.strictObject({
  name: z.string().optional(),
  prefixes: z.array(z.string().max(64).transform(readPrefix)).max(PREFIXES).optional(),
  groups: z.array(LABEL).max(GROUPS).optional(),
  roles: z.array(z.enum(ROLES)).max(ROLES.length).optional(),
})
const DAY = 86_400
const NEW_KEY = z.strictObject({
  description: LABEL,
  singleUse: z.boolean().default(true),
  /** Seconds from now. */
  lifetime: z
    .int()
    .min(60)
    .max(365 * DAY)
    .default(DAY),
})

const REQUESTS = { windowSeconds: 60, limit: 600 }

function readPrefix(text: string, context: z.core.$RefinementCtx): ReturnType<typeof parsePrefix> {
  try {
    return parsePrefix(text)
  } catch (cause) {
    if (!(cause instanceof MalformedError)) throw cause
    context.addIssue({ code: 'custom', message: cause.message })
    return z.NEVER
  }
}

export function peopleApi(parts: PeopleApiParts): Router {
  const router = Router()
  router.use(rateLimit(REQUESTS))
  router.get('/organizations', async (request, response) => {
    const user = await signedIn(parts, request)
    const found = await organizationsOf(parts.database, user)
    response.json({ organizations: found.map(({ id, name }) => ({ id, name })) })
  })
  addDeviceRoutes(router, parts)
  addRegistrationKeyRoutes(router, parts)
  addNamesRoutes(router, parts, (request) => memberOf(parts, request))
  return router
}

function addDeviceRoutes(router: Router, parts: PeopleApiParts): void {
  const { devices, directory } = parts
  router.get('/organizations/:organization/devices', async (request, response) => {
    const { organization } = await memberOf(parts, request)
    response.json({ devices: await devices.list(organization) })
  })
  router.patch('/organizations/:organization/devices/:device', async (request, response) => {
    const { organization } = await memberOf(parts, request)
    const { name, ...change } = parseInput(DEVICE_CHANGE, request.body)
    const wanted = { ...change, name: name === undefined ? undefined : checkName(name) }
    const changed = await devices.change(organization, request.params.device, wanted)
    if (changed === undefined) throw noDevice()
    response.json(changed)
  })
  router.delete('/organizations/:organization/devices/:device', async (request, response) => {
    const { organization, user } = await memberOf(parts, request)
    if (!(await directory.remove(organization, request.params.device, user))) throw noDevice()
    response.status(204).end()
  })
}

function addRegistrationKeyRoutes(router: Router, parts: PeopleApiParts): void {
  const { registrationKeys, clock } = parts
  router.get('/organizations/:organization/registration-keys', async (request, response) => {
    const { organization } = await memberOf(parts, request)
    response.json({ registrationKeys: await registrationKeys.list(organization) })
  })
  router.post('/organizations/:organization/registration-keys', async (request, response) => {
    const { organization, user } = await memberOf(parts, request)
    const { lifetime, ...wanted } = parseInput(NEW_KEY, request.body)
    const expiresAt = seconds(clock.now() + lifetime)
    const made = await registrationKeys.create(organization, { ...wanted, expiresAt, by: user })
    response.status(201).json({ id: made.id, key: made.secret, expiresAt })
  })
  router.delete('/organizations/:organization/registration-keys/:id', async (request, response) => {
    const { organization } = await memberOf(parts, request)
    if (!(await registrationKeys.revoke(organization, request.params.id))) {
      throw new ProblemError(404, 'registration-key-unknown', 'there is no such registration key')
    }
    response.status(204).end()
  })
}

async function signedIn({ sessions }: PeopleApiParts, request: Request): Promise<UserId> {
  const session = await sessions.find(request)
  if (session !== undefined) return session.user
  throw new ProblemError(401, 'not-signed-in', 'sign in first (open the registry in a browser)')
}

/** Of other people's organizations nobody learns whether they exist. */
async function memberOf(
  parts: PeopleApiParts,
  request: Request,
): Promise<{ organization: OrganizationId; user: UserId }> {
  const user = await signedIn(parts, request)
  const wanted = String(request.params['organization'])
  const { id } = await organizationFor(parts.database, user, wanted)
  return { organization: id, user }
}

function noDevice(): ProblemError {
  return new ProblemError(404, 'device-unknown', 'the organization has no such device')
}
