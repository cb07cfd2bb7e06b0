/** Routes of an organization's devices. */
import { z } from 'zod'
import { parsePrefix } from '../../protocol/address.ts'
import { MalformedError } from '../../protocol/errors.ts'
import { GROUPS, PREFIXES } from '../../protocol/limits.ts'
import { ROLES } from '../../protocol/membership-certificate.ts'
import type { Devices } from '../devices.ts'
import { checkName } from '../enrolment.ts'
import { pageOf } from '../page.ts'
import { ProblemError } from '../problem.ts'
import type { DeviceDirectory } from '../web/directories.ts'
import { ADMINS, ANY_MEMBER } from './access.ts'
import { LABEL, MOMENT } from './fields.ts'
import { memberRoute, type Route } from './route.ts'

export interface DeviceApiParts {
  readonly devices: Devices
  readonly directory: Pick<DeviceDirectory, 'remove'>
}

const DEVICE = z.object({
  id: z.string(),
  name: z.string(),
  owner: z.string(),
  system: z.string(),
  addresses: z.array(z.string()).readonly(),
  prefixes: z.array(z.string()).readonly(),
  groups: z.array(z.string()).readonly(),
  roles: z.array(z.enum(ROLES)).readonly(),
  createdAt: MOMENT,
  renewedAt: MOMENT,
  notAfter: MOMENT,
})
const DEVICE_CHANGE = z.strictObject({
  name: z.string().max(64).optional(),
  prefixes: z.array(z.string().max(64).transform(readPrefix)).max(PREFIXES).optional(),
  groups: z.array(LABEL).max(GROUPS).optional(),
  roles: z.array(z.enum(ROLES)).max(ROLES.length).optional(),
})

function readPrefix(text: string, context: z.core.$RefinementCtx): ReturnType<typeof parsePrefix> {
  try {
    return parsePrefix(text)
  } catch (cause) {
    if (!(cause instanceof MalformedError)) throw cause
    context.addIssue({ code: 'custom', message: cause.message })
    return z.NEVER
  }
}

const DEVICES = '/organizations/:organization/devices'
const ONE_DEVICE = '/organizations/:organization/devices/:device'

export const DEVICE_ROUTES: readonly Route<DeviceApiParts>[] = [
  memberRoute({
    method: 'GET',
    path: DEVICES,
    operation: 'listDevices',
    summary: "The organization's devices",
    scope: 'read',
    roles: ANY_MEMBER,
    paginated: true,
    answer: pageOf('devices', DEVICE),
    handle: async ({ devices }: DeviceApiParts, { organization, page }) => {
      const { items, ...next } = await devices.page(organization, page)
      return { devices: items, ...next }
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
    handle: async ({ devices }: DeviceApiParts, { organization, params }) => {
      const device = await devices.get(organization, params.device)
      if (device === undefined) throw noDevice()
      return device
    },
  }),
  memberRoute({
    method: 'PATCH',
    path: ONE_DEVICE,
    operation: 'changeDevice',
    summary: 'Renames a device, or grants it groups, prefixes and roles; what is absent stays',
    scope: 'devices:write',
    roles: ADMINS,
    body: DEVICE_CHANGE,
    answer: DEVICE,
    handle: async ({ devices }: DeviceApiParts, { organization, params, body, act }) => {
      const { name, ...change } = body
      const wanted = { ...change, name: name === undefined ? undefined : checkName(name) }
      const changed = await devices.change(organization, params.device, wanted, act)
      if (changed === undefined) throw noDevice()
      return changed
    },
  }),
  memberRoute({
    method: 'DELETE',
    path: ONE_DEVICE,
    operation: 'removeDevice',
    summary: 'Removes a device: its certificates are revoked',
    scope: 'devices:write',
    roles: ADMINS,
    handle: async ({ directory }: DeviceApiParts, { organization, params, act }) => {
      if (!(await directory.remove(organization, params.device, act))) throw noDevice()
    },
  }),
]

function noDevice(): ProblemError {
  return new ProblemError(404, 'device-unknown', 'the organization has no such device')
}
