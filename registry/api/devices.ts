/** Routes of an organization's devices. */
import { z } from 'zod'
import type { Clock } from '../../protocol/clock.ts'
import type { OrganizationId } from '../../protocol/keys.ts'
import { GROUPS, PREFIXES } from '../../protocol/limits.ts'
import { ROLES } from '../../protocol/membership-certificate.ts'
import {
  METADATA_KEY_CHARACTERS,
  METADATA_KEYS,
  METADATA_VALUE_CHARACTERS,
} from '../device-metadata.ts'
import { type Connected, liveFactsIn } from '../device-presence.ts'
import type { Device, Devices } from '../devices.ts'
import { checkName } from '../enrolment.ts'
import { ownerFor } from '../members.ts'
import { type Networks, reachedIn } from '../network.ts'
import { pageOf } from '../page.ts'
import { ProblemError } from '../problem.ts'
import { isAtLeast, requireRole } from '../roles.ts'
import type { Database } from '../store/database.ts'
import type { DeviceDirectory } from '../web/directories.ts'
import { ADMINS, ANY_MEMBER } from './access.ts'
import { LABEL, MOMENT, PREFIX_TEXT } from './fields.ts'
import { ID, type MemberVisit, memberRoute, type Route } from './route.ts'

export interface DeviceApiParts {
  readonly database: Database
  readonly devices: Devices
  readonly directory: Pick<DeviceDirectory, 'remove'>
  readonly clock: Pick<Clock, 'now'>
  readonly connected: Connected
  readonly networks: Networks
}

const PREFIX_LIST = z.array(z.string()).readonly()
const ROLE_LIST = z.array(z.enum(ROLES)).readonly()
const DEVICE = z.object({
  id: z.string(),
  name: z.string(),
  owner: z.string(),
  /** The user who answers for it. */
  ownerId: z.string().optional(),
  system: z.string(),
  addresses: z.array(z.string()).readonly(),
  prefixes: PREFIX_LIST,
  groups: z.array(z.string()).readonly(),
  /** Groups that its owner's identity provider gives. */
  claimedGroups: z.array(z.string()).readonly(),
  roles: ROLE_LIST,
  /** What it asks for and nobody has decided yet. */
  requests: z.object({ prefixes: PREFIX_LIST, roles: ROLE_LIST }),
  metadata: z.record(z.string(), z.string()),
  /** Seconds it may be away before it is removed; absent: for ever. */
  ephemeralAfter: z.int().optional(),
  createdAt: MOMENT,
  renewedAt: MOMENT,
  notAfter: MOMENT,
  /** Connected to this registry. */
  online: z.boolean(),
  /** Not that, but others say that they are in touch with it. */
  reached: z.boolean(),
  seenAt: MOMENT,
})
const GRANTS = {
  prefixes: z.array(PREFIX_TEXT).max(PREFIXES).optional(),
  roles: z.array(z.enum(ROLES)).max(ROLES.length).optional(),
}
const CHANGE = z.strictObject({
  name: z.string().max(64).optional(),
  ...GRANTS,
  groups: z.array(LABEL).max(GROUPS).optional(),
  /** Merged into what there is; null takes a key away. */
  metadata: z
    .record(
      z.string().min(1).max(METADATA_KEY_CHARACTERS),
      z.string().max(METADATA_VALUE_CHARACTERS).nullable(),
    )
    .refine((changes) => Object.keys(changes).length <= METADATA_KEYS, {
      message: `has more than ${METADATA_KEYS} keys`,
    })
    .optional(),
  /** Another member answers for it from now on. */
  ownerId: ID.optional(),
})
const DECISION = z.strictObject({
  grant: z.strictObject(GRANTS).default({}),
  deny: z.strictObject(GRANTS).default({}),
})

type Parts = DeviceApiParts
const DEVICES = '/organizations/:organization/devices'
const ONE_DEVICE = '/organizations/:organization/devices/:device'

async function shown(parts: Parts, organization: OrganizationId, devices: readonly Device[]) {
  const facts = await liveFactsIn(parts, parts.connected, organization)
  const reached = await reachedIn(parts.networks, organization)
  return devices.map((each) => ({ ...each, ...facts(each), reached: reached.has(each.id) }))
}

/** One device, of which each member is told as much as of all. */
async function shownOne(parts: Parts, organization: OrganizationId, device: Device | undefined) {
  const [one] = device === undefined ? [] : await shown(parts, organization, [device])
  if (one === undefined) throw noDevice()
  return one
}

/** A device's owner may name it, describe it and remove it; what others notice is for admins. */
async function requireOwn(
  { devices }: Parts,
  { organization, role, caller, params }: MemberVisit<typeof ONE_DEVICE, unknown, unknown>,
): Promise<void> {
  if (isAtLeast(role, 'admin')) return
  const device = await devices.get(organization, params.device)
  if (device === undefined) throw noDevice()
  if (device.ownerId !== caller.user) requireRole(role, 'admin')
}

async function changeDevice(
  parts: Parts,
  visit: MemberVisit<typeof ONE_DEVICE, unknown, z.output<typeof CHANGE>>,
) {
  const { organization, role, params, body, act } = visit
  const { name, metadata, ownerId, ...grants } = body
  if (Object.keys(grants).length > 0 || ownerId !== undefined) requireRole(role, 'admin')
  await requireOwn(parts, visit)
  const change = {
    ...{ ...grants, metadata },
    name: name === undefined ? undefined : checkName(name),
    ...(ownerId !== undefined && { owner: await ownerFor(parts.database, organization, ownerId) }),
  }
  const changed = await parts.devices.change(organization, params.device, change, act)
  return shownOne(parts, organization, changed)
}

export const DEVICE_ROUTES: readonly Route<Parts>[] = [
  memberRoute({
    method: 'GET',
    path: DEVICES,
    operation: 'listDevices',
    summary: "The organization's devices",
    scope: 'read',
    roles: ANY_MEMBER,
    paginated: true,
    answer: pageOf('devices', DEVICE),
    handle: async (parts: Parts, { organization, page }) => {
      const { items, ...next } = await parts.devices.page(organization, page)
      return { devices: await shown(parts, organization, items), ...next }
    },
  }),
  memberRoute({
    method: 'GET',
    path: ONE_DEVICE,
    operation: 'getDevice',
    summary: 'One device',
    scope: 'read',
    roles: ANY_MEMBER,
    answer: DEVICE,
    handle: async (parts: Parts, { organization, params }) =>
      shownOne(parts, organization, await parts.devices.get(organization, params.device)),
  }),
  memberRoute({
    method: 'PATCH',
    path: ONE_DEVICE,
    operation: 'changeDevice',
    summary:
      'Renames or describes a device of yours; admins also grant it groups, prefixes, roles and an owner. What is absent stays',
    scope: 'devices:write',
    roles: ANY_MEMBER,
    body: CHANGE,
    answer: DEVICE,
    handle: changeDevice,
  }),
  memberRoute({
    method: 'POST',
    path: '/organizations/:organization/devices/:device/requests',
    operation: 'decideDeviceRequests',
    summary: 'Grants or denies prefixes and roles that a device asks for',
    scope: 'devices:write',
    roles: ADMINS,
    body: DECISION,
    answer: DEVICE,
    handle: async (parts: Parts, { organization, params, body, act }) => {
      const both = ({ prefixes = [], roles = [] }: typeof body.grant) => ({ prefixes, roles })
      const decision = { grant: both(body.grant), deny: both(body.deny) }
      const decided = await parts.devices.decide(organization, params.device, decision, act)
      return shownOne(parts, organization, decided)
    },
  }),
  memberRoute({
    method: 'DELETE',
    path: ONE_DEVICE,
    operation: 'removeDevice',
    summary: 'Removes a device, of yours or as an admin: its certificates are revoked',
    scope: 'devices:write',
    roles: ANY_MEMBER,
    handle: async (parts: Parts, visit) => {
      await requireOwn(parts, visit)
      const { organization, params, act } = visit
      if (!(await parts.directory.remove(organization, params.device, act))) throw noDevice()
    },
  }),
]

function noDevice(): ProblemError {
  return new ProblemError(404, 'device-unknown', 'the organization has no such device')
}
