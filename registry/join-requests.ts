/** Join requests: devices that members let in, and that wait until an admin of the organization agrees. */
import { fingerprintOf } from '../protocol/fingerprint.ts'
import type { DeviceId, OrganizationId } from '../protocol/keys.ts'
import { type Seconds, seconds } from '../protocol/time.ts'
import {
  AUTHORIZATION,
  type Authorization,
  REQUESTED,
  stopWaiting,
} from './authorization-record.ts'
import type { DeviceOwner } from './device-change.ts'
import type { OrganizationChange } from './organization-change.ts'
import { members } from './organizations.ts'
import { Refused } from './refusal.ts'
import type { Database } from './store/database.ts'

/** How long an admin has to agree. Seconds: over a week-end and a holiday. */
const REQUEST_LIFETIME = 7 * 86_400
/** Join requests of one organization. */
const REQUESTS = 500

export interface JoinRequest {
  readonly id: string
  readonly device: string
  readonly name: string
  readonly system: string
  /** The IP address that asked. */
  readonly requestedFrom: string
  /** Of the device key, as the device shows it too. */
  readonly fingerprint: string
  /** Who let it in, as people call them. */
  readonly owner: string
  readonly expiresAt: Seconds
}

/** Of the organization, by name. */
export async function joinRequestsIn(
  database: Database,
  organization: OrganizationId,
  now: Seconds,
): Promise<readonly JoinRequest[]> {
  const found: JoinRequest[] = []
  for await (const { id } of database.list(REQUESTED, { under: `${organization}/` })) {
    const hash = id.slice(organization.length + 1)
    const known = await database.get(AUTHORIZATION, hash)
    if (known?.decision.kind !== 'requested' || known.expiresAt <= now) continue
    const { device, name, system, requestedFrom, decision } = known
    found.push({
      ...{ id: hash, device, name, system, requestedFrom, owner: decision.owner },
      fingerprint: fingerprintOf(device as DeviceId), // as DeviceAuthorizations put it
      expiresAt: seconds(known.expiresAt),
    })
  }
  return found.toSorted((a, b) => a.name.localeCompare(b.name))
}

/** Its code is void from now on; an admin decides. Throws Refused (too-many-pending). */
export async function requestJoin(
  { transaction, organization, now }: OrganizationChange,
  hash: string,
  known: Authorization,
  owner: DeviceOwner,
): Promise<void> {
  const waiting = await transaction.list(REQUESTED, { under: `${organization}/` })
  if (waiting.length >= REQUESTS) {
    throw new Refused(
      'too-many-pending',
      `${REQUESTS} devices wait for an admin of the organization already (have some decided)`,
    )
  }
  stopWaiting(transaction, hash, known)
  transaction.put(AUTHORIZATION, hash, {
    ...known,
    expiresAt: now + REQUEST_LIFETIME,
    decision: { kind: 'requested', organization, ...owner },
  })
  transaction.put(REQUESTED, `${organization}/${hash}`, {})
}

/** What waited, and whose it is to be. Undefined: it waits no more. Throws Refused (member-unknown). */
export async function decideJoinRequest(
  { transaction, organization, now }: OrganizationChange,
  id: string,
  approved: boolean,
): Promise<{ readonly waiting: Authorization; readonly owner: DeviceOwner } | undefined> {
  const key = `${organization}/${id}`
  if (!/^[0-9a-f]{64}$/.test(id) || !(await transaction.get(REQUESTED, key))) return undefined
  const waiting = await transaction.get(AUTHORIZATION, id)
  if (waiting?.decision.kind !== 'requested' || waiting.expiresAt <= now) return undefined
  const { owner, ownerId } = waiting.decision
  transaction.delete(REQUESTED, key)
  const decision = approved
    ? ({ kind: 'approved', organization, owner, ownerId } as const)
    : ({ kind: 'denied' } as const)
  transaction.put(AUTHORIZATION, id, { ...waiting, decision })
  if (approved && !(await transaction.get(members, `${organization}/${ownerId}`))) {
    throw new Refused('member-unknown', `${owner} is no member any more: deny the device`)
  }
  return { waiting, owner: { owner, ownerId } }
}
