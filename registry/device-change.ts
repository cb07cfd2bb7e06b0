/** Changes of a device by people: a new certificate is issued at once where the certificate says what changed. */
import { type Prefix, parsePrefix, prefixContains } from '../protocol/address.ts'
import type { DeviceId } from '../protocol/keys.ts'
import { PREFIXES } from '../protocol/limits.ts'
import type { Role } from '../protocol/membership-certificate.ts'
import { seconds } from '../protocol/time.ts'
import type { Act } from './act.ts'
import { mergeMetadata } from './device-metadata.ts'
import { withOwner } from './device-owner.ts'
import { type Asked, checkGroups, claimName, type DeviceRecord, freeName } from './device-record.ts'
import { CERTIFICATES_AT_ONCE, type OrganizationChange } from './organization-change.ts'
import type { Ranges } from './ranges.ts'
import { Refused } from './refusal.ts'
import { mostRevocations } from './revocation-room.ts'

/** What people may change. Absent: stays as it is. */
export interface DeviceChange {
  readonly name?: string | undefined
  readonly prefixes?: readonly Prefix[] | undefined
  readonly groups?: readonly string[] | undefined
  readonly roles?: readonly Role[] | undefined
  /** Merged into what there is; null takes a key away. */
  readonly metadata?: Readonly<Record<string, string | null>> | undefined
  /** Another member answers for it. */
  readonly owner?: (DeviceOwner & { readonly ownerId: string }) | undefined
}

export interface DeviceOwner {
  /** As certificates show it. */
  readonly owner: string
  /** The user; undefined in what was decided before there were several to an organization. */
  readonly ownerId: string | undefined
}

/** Throws Refused (prefix-invalid, metadata-invalid, certificate-invalid, too-many-certificates). */
export async function changeDevice(
  change: OrganizationChange,
  id: DeviceId,
  record: DeviceRecord,
  wanted: DeviceChange,
  by: Act,
): Promise<DeviceRecord> {
  const { prefixes, metadata, groups } = wanted
  if (prefixes !== undefined) checkPrefixes(change.ranges(), prefixes)
  if (groups !== undefined) checkGroups(groups)
  const changed: DeviceRecord = {
    ...record,
    ...wanted.owner,
    name: await renamed(change, id, record, wanted.name),
    prefixes: prefixes === undefined ? record.prefixes : [...new Set(prefixes)],
    groups: [...(groups ?? record.groups)],
    roles: [...(wanted.roles ?? record.roles)],
    ...(metadata !== undefined && { metadata: mergeMetadata(record.metadata, metadata) }),
  }
  // What the last owner's identity provider gave is not the next one's.
  const isGiven = changed.ownerId !== record.ownerId
  const owned = isGiven ? await withOwner(change, changed) : changed
  return putChanged(change, id, { before: record, after: withDenied(record, owned), by })
}

/** The device answers to another member from now on. */
export async function giveDevice(
  change: OrganizationChange,
  id: DeviceId,
  owner: DeviceOwner & { readonly ownerId: string },
  by: Act,
): Promise<void> {
  const record = await change.device(id)
  if (record === undefined) return
  // What the last owner's identity provider gave is not the next one's.
  const after = await withOwner(change, { ...record, ...owner })
  await putChanged(change, id, { before: record, after, by })
}

/** Puts the record, with a new certificate where the old one says something else. Throws Refused
 *  (too-many-certificates). */
export async function putChanged(
  change: OrganizationChange,
  id: DeviceId,
  {
    before,
    after,
    by,
  }: { readonly before: DeviceRecord; readonly after: DeviceRecord; readonly by: Act },
): Promise<DeviceRecord> {
  const { number } = after
  if (number === undefined || after.certificate === undefined || saysTheSame(before, after)) {
    change.putDevice(id, after)
    return after
  }
  const issued = await withRoom(change, before, by)
  return change.certify(id, { ...after, number, issued })
}

function saysTheSame(before: DeviceRecord, after: DeviceRecord): boolean {
  const said = ({ name, owner, groups, claimedGroups, prefixes, roles }: DeviceRecord) =>
    JSON.stringify([name, owner, groups, claimedGroups, prefixes, roles])
  return said(before) === said(after)
}

/** What is taken from a device that goes on asking for it is denied, not asked for anew. */
function withDenied(before: DeviceRecord, after: DeviceRecord): DeviceRecord {
  const { asked, denied = { prefixes: [], roles: [] } } = after
  if (asked === undefined) return after
  const taken: Asked = {
    prefixes: before.prefixes.filter((each) => !after.prefixes.includes(each)),
    roles: before.roles.filter((each) => !after.roles.includes(each)),
  }
  return { ...after, denied: within(asked, union(denied, taken), after) }
}

export function union(a: Asked, b: Asked): Asked {
  return {
    prefixes: [...new Set([...a.prefixes, ...b.prefixes])],
    roles: [...new Set([...a.roles, ...b.roles])],
  }
}

/** Of these what is asked for and not granted. */
export function within(
  asked: Asked,
  some: Asked,
  granted: Pick<DeviceRecord, 'prefixes' | 'roles'>,
): Asked {
  const isGranted = (prefix: string) =>
    granted.prefixes.some((each) => prefixContains(parsePrefix(each), parsePrefix(prefix)))
  return {
    prefixes: some.prefixes.filter((each) => asked.prefixes.includes(each) && !isGranted(each)),
    roles: some.roles.filter((each) => asked.roles.includes(each) && !granted.roles.includes(each)),
  }
}

/** People may change a device more often than it may renew: what the newest has outdone is revoked. */
async function withRoom(
  change: OrganizationChange,
  { issued }: DeviceRecord,
  by: Act,
): Promise<DeviceRecord['issued']> {
  const alive = issued.filter(({ notAfter }) => notAfter > change.now)
  if (alive.length < CERTIFICATES_AT_ONCE) return alive
  const outdone = alive.slice(0, -1)
  const most = await mostRevocations(change, by)
  if ((await change.revocations()).length + outdone.length > most)
    throw tooManyChanges(alive.length)
  await change.publishManifest(
    outdone.map(({ serial, notAfter }) => ({ serial, notAfter: seconds(notAfter) })),
  )
  return alive.slice(-1)
}

function tooManyChanges(alive: number): Refused {
  return new Refused(
    'too-many-certificates',
    `the device has ${alive} certificates that have not expired, and there is no room to revoke them (change it less often)`,
  )
}

async function renamed(
  change: OrganizationChange,
  id: DeviceId,
  record: DeviceRecord,
  wanted: string | undefined,
): Promise<string> {
  if (wanted === undefined || wanted === record.name) return record.name
  freeName(change.transaction, change.organization, record.name)
  return claimName(change.transaction, change.organization, id, wanted)
}

/** Throws Refused (prefix-invalid): a prefix inside the organization's own ranges would let the device
 *  take the address of another. */
export function checkPrefixes(ranges: Ranges, prefixes: readonly Prefix[]): void {
  const refuse = (detail: string) => new Refused('prefix-invalid', detail, { field: 'prefixes' })
  if (prefixes.length > PREFIXES) {
    throw refuse(`${prefixes.length} prefixes: a device may advertise at most ${PREFIXES}`)
  }
  for (const prefix of prefixes) {
    const range = ranges.find((each) => prefixContains(each, prefix))
    if (range !== undefined) {
      throw refuse(
        `prefix ${prefix} lies in ${range}, where the organization's devices have their addresses`,
      )
    }
  }
}
