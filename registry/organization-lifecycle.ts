/** Organizations as their owners make, change and end them. */
import type { Clock } from '../protocol/clock.ts'
import type { DeviceId, OrganizationId } from '../protocol/keys.ts'
import { type Act, userOf } from './act.ts'
import { audit, difference } from './audit.ts'
import { REQUESTED } from './authorization-record.ts'
import { DEVICE } from './device-record.ts'
import { removeDevices } from './device-removal.ts'
import { HEAD, type OrganizationSettings, rangesOf } from './head.ts'
import { deleteInvitations } from './invitations.ts'
import { LONGEST_MEMBERSHIP } from './issuer.ts'
import type { Issuing } from './issuing.ts'
import type { OrganizationChange } from './organization-change.ts'
import {
  deleteMember,
  members,
  memberships,
  membershipsOf,
  organizations,
  putMember,
  requireUser,
  roleOf,
  type UserId,
} from './organizations.ts'
import type { Ranges, WantedRanges } from './ranges.ts'
import { Refused } from './refusal.ts'
import { revokeAllRegistrationKeys } from './registration-keys.ts'
import { type MemberRole, requireRole } from './roles.ts'
import type { Database } from './store/database.ts'

/** Organizations that one user owns. */
export const ORGANIZATIONS = 32
/** Characters. */
export const ORGANIZATION_NAME_CHARACTERS = 64
/** Seconds. A shorter certificate would make every device ask all the time, a longer one the issuer may not
 *  sign (issuer.ts). */
export const MEMBERSHIP_LIFETIMES = { least: 600, most: LONGEST_MEMBERSHIP } as const
/** Seconds. */
export const REAUTHENTICATION = { least: 3600, most: 365 * 86_400 } as const

/** Null takes a rule away. Absent: stays as it is. */
export interface SettingsChange {
  readonly approvalRequired?: boolean | undefined
  readonly membershipLifetime?: number | null | undefined
  readonly reauthenticateAfter?: number | null | undefined
}

export interface OrganizationDetails {
  readonly settings: OrganizationSettings
  /** IPv4, then IPv6. */
  readonly ranges: Ranges
}

export interface NewOrganization extends WantedRanges {
  readonly name: string
}

export interface OrganizationLifecycle {
  details(organization: OrganizationId): Promise<OrganizationDetails>
  /** The user is its owner. Throws Refused (organization-invalid, organization-name-taken,
   *  too-many-organizations, range-invalid), or a 401 problem (signed-out) when the user was deleted. */
  create(by: Act, wanted: NewOrganization): Promise<OrganizationId>
  /** Throws Refused (organization-invalid, role-needed). */
  rename(organization: OrganizationId, by: Act, name: string): Promise<void>
  /** Throws Refused (settings-invalid, role-needed). */
  changeSettings(
    organization: OrganizationId,
    by: Act,
    settings: SettingsChange,
  ): Promise<OrganizationSettings>
  /** With `force` its devices are revoked, without it is refused while there are any. What its devices
   *  need to hear of that stays until the last certificate has ended. Throws Refused
   *  (organization-not-empty, role-needed). */
  delete(organization: OrganizationId, by: Act, force: boolean): Promise<void>
}

export interface LifecycleParts {
  readonly database: Database
  readonly issuing: Issuing
  readonly clock: Pick<Clock, 'now'>
}

export function openOrganizationLifecycle(parts: LifecycleParts): OrganizationLifecycle {
  const { database, issuing } = parts
  const byOwner = <R>(
    organization: OrganizationId,
    by: Act,
    body: (change: OrganizationChange) => Promise<R>,
  ): Promise<R> =>
    issuing.change(organization, async (change) => {
      requireRole(await roleOf(change.transaction, organization, by), 'owner')
      return body(change)
    })
  return {
    async details(organization) {
      const head = await database.get(HEAD, organization)
      if (head === undefined) throw new Refused('organization-unknown', 'no such organization')
      return { settings: head.settings, ranges: rangesOf(organization, head) }
    },
    create: (by, wanted) => create(parts, by, wanted),
    rename: (organization, by, name) =>
      byOwner(organization, by, (change) => rename(change, checkOrganizationName(name), by)),
    changeSettings: (organization, by, settings) =>
      byOwner(organization, by, async (change) => {
        const before = change.head.settings
        const after = changed(before, settings)
        change.head = { ...change.head, settings: after }
        await audit(change.transaction, organization, by, {
          ...{ action: 'organization.settings-changed', subject: organization },
          ...difference<object>(before, after),
        })
        return after
      }),
    delete: (organization, by, force) =>
      byOwner(organization, by, (change) => deleteIn(change, force, by)),
  }
}

async function create(
  { database, issuing, clock }: LifecycleParts,
  by: Act,
  { name: text, ...ranges }: NewOrganization,
): Promise<OrganizationId> {
  const name = checkOrganizationName(text)
  const user = userOf(by)
  const own = await membershipsOf(database, user)
  if (own.some(({ organization }) => organization.name === name)) {
    throw new Refused(
      'organization-name-taken',
      `you belong to an organization "${name}" already (choose another name)`,
      { field: 'name' },
    )
  }
  checkCount(own)
  return issuing.found(
    name,
    async (transaction, organization) => {
      const now = clock.now()
      await requireUser(transaction, user)
      // Of several at once each but one has retried, and sees the others' here.
      const known = await transaction.list(memberships, { under: `${user}/` })
      checkCount(known.map(({ value }) => value))
      transaction.put(organizations, organization, { id: organization, name, createdAt: now })
      putMember(transaction, organization, user, { role: 'owner', since: now })
      await audit(transaction, organization, by, {
        ...{ action: 'organization.founded', subject: organization },
        after: { name },
      })
    },
    ranges,
  )
}

/** Throws Refused (too-many-organizations). */
function checkCount(own: readonly { readonly role: MemberRole }[]): void {
  if (own.filter(({ role }) => role === 'owner').length < ORGANIZATIONS) return
  throw new Refused(
    'too-many-organizations',
    `you own ${ORGANIZATIONS} organizations, the most one user may (delete one)`,
  )
}

/** Throws Refused (organization-invalid). */
export function checkOrganizationName(text: string): string {
  const name = text.trim()
  if (name.length > 0 && name.length <= ORGANIZATION_NAME_CHARACTERS && /^\P{C}+$/u.test(name)) {
    return name
  }
  throw new Refused(
    'organization-invalid',
    `name: want 1 to ${ORGANIZATION_NAME_CHARACTERS} printable characters, not ${JSON.stringify(name.slice(0, 80))}`,
    { field: 'name' },
  )
}

async function rename(change: OrganizationChange, name: string, by: Act): Promise<void> {
  const { transaction, organization } = change
  const known = await transaction.get(organizations, organization)
  if (known === undefined || known.name === name) return
  transaction.put(organizations, organization, { ...known, name })
  change.head = { ...change.head, name }
  await change.publishManifest()
  await audit(transaction, organization, by, {
    ...{ action: 'organization.renamed', subject: organization },
    ...difference({ name: known.name }, { name }),
  })
}

function changed(known: OrganizationSettings, change: SettingsChange): OrganizationSettings {
  const lifetime = inBounds('membershipLifetime', change.membershipLifetime, MEMBERSHIP_LIFETIMES)
  const interval = inBounds('reauthenticateAfter', change.reauthenticateAfter, REAUTHENTICATION)
  const merged = {
    approvalRequired: change.approvalRequired ?? known.approvalRequired,
    membershipLifetime: lifetime === undefined ? known.membershipLifetime : lifetime,
    reauthenticateAfter: interval === undefined ? known.reauthenticateAfter : interval,
  }
  return {
    approvalRequired: merged.approvalRequired,
    ...(typeof merged.membershipLifetime === 'number' && {
      membershipLifetime: merged.membershipLifetime,
    }),
    ...(typeof merged.reauthenticateAfter === 'number' && {
      reauthenticateAfter: merged.reauthenticateAfter,
    }),
  }
}

/** Throws Refused (settings-invalid). */
function inBounds(
  field: string,
  value: number | null | undefined,
  { least, most }: { readonly least: number; readonly most: number },
): number | null | undefined {
  if (typeof value !== 'number' || (value >= least && value <= most)) return value
  throw new Refused(
    'settings-invalid',
    `${field}: ${value} s, want ${least} to ${most} s, or null for the registry's own rule`,
    { field },
  )
}

/** Throws Refused (organization-not-empty). */
export async function deleteIn(change: OrganizationChange, force: boolean, by: Act): Promise<void> {
  const { transaction, organization, now } = change
  const devices = await transaction.list(DEVICE, { under: `${organization}/` })
  if (devices.length > 0 && !force) {
    throw new Refused(
      'organization-not-empty',
      `the organization has ${devices.length} device(s): remove them first, or ask for force, which revokes them`,
    )
  }
  await removeDevices(
    change,
    devices.map(({ id }) => id.slice(organization.length + 1) as DeviceId), // as putDevice wrote it
    by,
  )
  await revokeAllRegistrationKeys(change)
  await deleteInvitations(change)
  for (const { id } of await transaction.list(REQUESTED, { under: `${organization}/` })) {
    transaction.delete(REQUESTED, id)
  }
  for (const { id } of await transaction.list(members, { under: `${organization}/` })) {
    deleteMember(transaction, organization, id.slice(organization.length + 1) as UserId)
  }
  transaction.delete(organizations, organization)
  change.head = { ...change.head, deletedAt: now }
  await audit(transaction, organization, by, {
    ...{ action: 'organization.deleted', subject: organization },
    before: { name: change.head.name, devices: devices.length },
  })
}
