/** Approval: a person lets a device that waits into one of their organizations. Where the organization wants
 *  it, what a member lets in waits on until an admin agrees. */
import { parseAgreementPublicKey } from '../crypto/agreement.ts'
import { fromHex } from '../crypto/bytes.ts'
import type { DeviceId, OrganizationId } from '../protocol/keys.ts'
import type { Log } from '../protocol/log.ts'
import { type Act, makerOf, userOf } from './act.ts'
import { audit } from './audit.ts'
import { type Authorization, findPending } from './authorization-record.ts'
import type { DeviceAuthorizations } from './device-authorization.ts'
import type { DeviceOwner } from './device-change.ts'
import { admit } from './enrolment.ts'
import type { Issuing } from './issuing.ts'
import { decideJoinRequest, requestJoin } from './join-requests.ts'
import type { OrganizationChange } from './organization-change.ts'
import { ownerNameOf, roleOf, type UserId, users } from './organizations.ts'
import { isAtLeast, requireRole } from './roles.ts'

export interface ApprovalParts {
  readonly issuing: Issuing
  readonly authorizations: DeviceAuthorizations
  readonly log: Log
}

/** `approved`: its token enrols it. `requested`: an admin has to agree. */
export type Approval = 'approved' | 'requested'

/** Undefined: the code is unknown, expired or decided. Throws Refused (organization-unknown,
 *  wireguard-key-taken), or a 404 problem to who is no member. */
export async function approveDevice(
  { issuing, authorizations, log }: ApprovalParts,
  userCode: string,
  organization: OrganizationId,
  by: Act,
): Promise<Approval | undefined> {
  const decided = await issuing.change(organization, async (change) => {
    const { transaction, now } = change
    const role = await roleOf(transaction, organization, by)
    const ownerId = userOf(by)
    const owner = { owner: ownerNameOf(await transaction.get(users, ownerId), ownerId), ownerId }
    const [hash, waiting] = (await findPending(transaction, userCode, now)) ?? []
    if (hash === undefined || waiting === undefined) return undefined
    const device = waiting.device as DeviceId // as DeviceAuthorizations put it
    const isNew = await isNewOf(change, device, ownerId)
    if (change.head.settings.approvalRequired && isNew && !isAtLeast(role, 'admin')) {
      await requestJoin(change, hash, waiting, owner)
      await enter(change, by, 'device.requested', waiting)
      return { device, approval: 'requested' as const }
    }
    await authorizations.approve(change, userCode, owner)
    await admitWaiting(change, waiting, owner)
    await enter(change, by, 'device.approved', waiting)
    return { device, approval: 'approved' as const }
  })
  if (decided === undefined) return undefined
  log('info', `device.${decided.approval}`, {
    ...{ id: by.requestId, organization, device: decided.device, by: makerOf(by) },
  })
  return decided.approval
}

/** An admin's word on a device that a member let in. False: it waits no more. Throws Refused (role-needed). */
export async function decideJoin(
  { issuing, log }: Pick<ApprovalParts, 'issuing' | 'log'>,
  organization: OrganizationId,
  request: { readonly id: string; readonly by: Act; readonly approved: boolean },
): Promise<boolean> {
  const { id, by, approved } = request
  const device = await issuing.change(organization, async (change) => {
    requireRole(await roleOf(change.transaction, organization, by), 'admin')
    const decided = await decideJoinRequest(change, id, approved)
    if (decided === undefined) return undefined
    const { waiting, owner } = decided
    if (approved) await admitWaiting(change, waiting, owner)
    await enter(change, by, approved ? 'device.approved' : 'device.denied', waiting)
    return waiting.device
  })
  if (device === undefined) return false
  log('info', approved ? 'device.approved' : 'device.denied', {
    ...{ id: by.requestId, organization, device, by: makerOf(by) },
  })
  return true
}

/** In the audit log. */
async function enter(
  { transaction, organization }: OrganizationChange,
  by: Act,
  action: `device.${string}`,
  { device, name, system }: Authorization,
): Promise<void> {
  await audit(transaction, organization, by, {
    ...{ action, subject: device },
    after: { name, system },
  })
}

/** A device that was let in before, and its owner's, comes back by its owner's word alone. */
async function isNewOf(change: OrganizationChange, device: DeviceId, by: UserId): Promise<boolean> {
  const known = await change.device(device)
  return known === undefined || known.ownerId !== by
}

async function admitWaiting(
  change: OrganizationChange,
  waiting: { device: string; wireguardKey: string; name: string; system: string },
  owner: DeviceOwner,
): Promise<void> {
  const { name, system } = waiting
  const device = waiting.device as DeviceId // as DeviceAuthorizations put it
  const wireguardKey = parseAgreementPublicKey(fromHex(waiting.wireguardKey))
  await admit(change, { device, wireguardKey }, { ...owner, name, system, byPerson: true })
}
