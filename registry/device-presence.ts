/** Presence: which devices are there, and what becomes of ephemeral ones that have been away too long. */
import type { Clock } from '../protocol/clock.ts'
import type { DeviceId, OrganizationId } from '../protocol/keys.ts'
import type { Log } from '../protocol/log.ts'
import { type Seconds, seconds } from '../protocol/time.ts'
import { byRegistry } from './act.ts'
import { DEVICE, type DeviceRecord, deviceRecordId, SEEN } from './device-record.ts'
import { aliveOf, removeDevices } from './device-removal.ts'
import { eachOrganization } from './each-organization.ts'
import { HEAD } from './head.ts'
import type { Issuing } from './issuing.ts'
import type { OrganizationChange } from './organization-change.ts'
import { REVOCATIONS_BY_MEMBERS } from './revocation-room.ts'
import type { Database } from './store/database.ts'

/** How long an ephemeral device may be away. Seconds: more than the notes of who is there may be late
 *  (maintenance.ts), and than a restart of the registry takes. */
export const EPHEMERAL = { least: 600, most: 30 * 86_400 } as const

/** Devices connected to this registry now. */
export type Connected = (organization: OrganizationId) => readonly { readonly device: string }[]

export interface PresenceParts {
  readonly database: Database
  readonly issuing: Issuing
  readonly clock: Pick<Clock, 'now'>
  readonly log: Log
}

export interface LiveFacts {
  /** Connected to this registry. */
  readonly online: boolean
  /** When it was seen last: connected to a registry, give or take some minutes, or renewing. */
  readonly seenAt: Seconds
}

/** What is known of devices beside their records, to be asked with each of them. */
export async function liveFactsIn(
  { database, clock }: Pick<PresenceParts, 'database' | 'clock'>,
  connected: Connected,
  organization: OrganizationId,
): Promise<(device: { id: string; renewedAt: Seconds }) => LiveFacts> {
  const here = new Set(connected(organization).map(({ device }) => device))
  const seen = new Map<string, number>()
  for await (const { id, value } of database.list(SEEN, { under: `${organization}/` })) {
    seen.set(id.slice(organization.length + 1), value.at)
  }
  const now = clock.now()
  return ({ id, renewedAt }) => {
    const online = here.has(id)
    const last = Math.max(seen.get(id) ?? 0, renewedAt)
    return { online, seenAt: online ? now : seconds(last) }
  }
}

/** Notes who is connected, and removes ephemeral devices that are not and have not been for as long as they
 *  may be away. To be called every few minutes. */
export async function lookForDevices(parts: PresenceParts, connected: Connected): Promise<void> {
  await eachOrganization(parts, 'devices', async (organization) => {
    const head = await parts.database.get(HEAD, organization)
    if (head?.deletedAt !== undefined) return
    const here = connected(organization).map(({ device }) => device as DeviceId)
    await note(parts, organization, here)
    await removeAway(parts, organization, new Set(here))
  })
}

async function note(
  { database, clock }: PresenceParts,
  organization: OrganizationId,
  devices: readonly DeviceId[],
): Promise<void> {
  if (devices.length === 0) return
  await database.transact(`seen/${organization}`, async (transaction) => {
    for (const device of devices) {
      transaction.put(SEEN, deviceRecordId(organization, device), { at: clock.now() })
    }
  })
}

async function removeAway(
  { database, issuing, clock, log }: PresenceParts,
  organization: OrganizationId,
  here: ReadonlySet<string>,
): Promise<void> {
  const away: DeviceId[] = []
  for await (const { id, value } of database.list(DEVICE, { under: `${organization}/` })) {
    const device = id.slice(organization.length + 1) as DeviceId // as putDevice wrote it
    if (value.ephemeralAfter === undefined || here.has(device)) continue
    const seen = await database.get(SEEN, id)
    if (isAway(value, seen?.at ?? 0, clock.now())) away.push(device)
  }
  if (away.length === 0) return
  const count = await issuing.change(organization, async (change) =>
    removeDevices(change, await thatFit(change, away), byRegistry(change.now)),
  )
  if (count > 0) log('info', 'device.ephemeral-removed', { organization, count })
}

/** Of the devices, in their order, those that there is room to revoke now; members bring such devices in, so
 *  they get what members get. */
async function thatFit(
  change: OrganizationChange,
  devices: readonly DeviceId[],
): Promise<readonly DeviceId[]> {
  const fitting: DeviceId[] = []
  let room = REVOCATIONS_BY_MEMBERS - (await change.revocations()).length
  for (const device of devices) {
    const record = await change.device(device)
    const needed = record === undefined ? 0 : aliveOf(change, record).length
    if (needed > Math.max(room, 0)) continue
    room -= needed
    fitting.push(device)
  }
  return fitting
}

function isAway({ renewedAt, ephemeralAfter }: DeviceRecord, seen: number, now: Seconds): boolean {
  return ephemeralAfter !== undefined && Math.max(renewedAt, seen) + ephemeralAfter <= now
}
