/** Approval: a person lets a device that waits into one of their organizations. */
import { parseAgreementPublicKey } from '../crypto/agreement.ts'
import { fromHex } from '../crypto/bytes.ts'
import type { OrganizationId } from '../protocol/keys.ts'
import type { Log } from '../protocol/log.ts'
import type { Act } from './act.ts'
import { audit } from './audit.ts'
import type { DeviceAuthorizations } from './device-authorization.ts'
import { admit } from './enrolment.ts'
import type { Issuing } from './issuing.ts'

export interface ApprovalParts {
  readonly issuing: Issuing
  readonly authorizations: DeviceAuthorizations
  readonly log: Log
}

/** Makes the device's record; its token then enrols it. False: the code is unknown, expired or decided.
 *  @param owner as people call who approves
 *  Throws Refused (organization-unknown, wireguard-key-taken). */
export async function approveDevice(
  { issuing, authorizations, log }: ApprovalParts,
  userCode: string,
  organization: OrganizationId,
  owner: string,
  by: Act,
): Promise<boolean> {
  const approved = await issuing.change(organization, async (change) => {
    const waiting = await authorizations.approve(change, userCode, owner)
    if (waiting === undefined) return undefined
    const { device, name, system } = waiting
    const wireguardKey = parseAgreementPublicKey(fromHex(waiting.wireguardKey))
    await admit(change, { device, wireguardKey }, { owner, name, system, byPerson: true })
    await audit(change.transaction, organization, by, {
      ...{ action: 'device.approved', subject: device },
      after: { name, owner, system },
    })
    return device
  })
  if (approved !== undefined)
    log('info', 'device.approved', { organization, device: approved, owner })
  return approved !== undefined
}
