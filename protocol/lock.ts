/** Lock: whose approval a membership certificate needs at a moment, and whether it has it (SPEC §4.3). */
import { equal } from '../crypto/bytes.ts'
import type { EnvelopeOf } from './envelope.ts'
import { isInForce, type Lock } from './issuer-certificate.ts'
import { type DeviceId, deviceIdOf } from './keys.ts'
import type { MembershipCertificate } from './membership-certificate.ts'
import type { OrganizationState } from './state.ts'
import type { Seconds } from './time.ts'

export function approvalSlot(device: DeviceId, approver: string): string {
  return `${device} ${approver}`
}

/** What the root said last: the lock of the issuer certificate in force that begins latest, whoever its
 *  issuer is. So an issuer that was given up cannot open what the root has locked since. */
export function lockOf(state: OrganizationState, now: Seconds): Lock | undefined {
  const [newest] = issuersInForce(state, now)
  return newest?.[1].body.lock
}

/** The issuers that the root vouches for at this moment, by id; the one that begins latest comes first. */
export function issuersInForce(
  state: OrganizationState,
  now: Seconds,
): readonly (readonly [string, EnvelopeOf<'issuer-certificate'>])[] {
  return [...state.issuerCertificates]
    .filter(([, { body }]) => isInForce(body, now))
    .toSorted(([, a], [, b]) => (isLater(a, b) ? -1 : 1))
}

function isLater(
  a: EnvelopeOf<'issuer-certificate'>,
  b: EnvelopeOf<'issuer-certificate'>,
): boolean {
  const ahead = a.body.notBefore - b.body.notBefore || a.body.notAfter - b.body.notAfter
  return ahead === 0 ? a.id > b.id : ahead > 0
}

export function approversOf(lock: Lock | undefined): readonly DeviceId[] {
  return lock?.approvers.map(deviceIdOf) ?? []
}

/** Does this signer's word count? */
export function isApprover(state: OrganizationState, signer: string, now: Seconds): boolean {
  return (approversOf(lockOf(state, now)) as readonly string[]).includes(signer)
}

/** Has it what the lock demands? True where there is no lock. */
export function isUnlocked(
  state: OrganizationState,
  certificate: MembershipCertificate,
  now: Seconds,
): boolean {
  const lock = lockOf(state, now)
  if (lock === undefined || certificate.notBefore < lock.since) return true
  return approvalOf(state, lock, certificate) !== undefined
}

/** The approval by which a certificate counts. An approver's word on itself is one, too: what the issuer
 *  alone says of an approver's WireGuard key proves nothing. */
export function approvalOf(
  state: OrganizationState,
  lock: Lock,
  { device, wireguardKey }: Pick<MembershipCertificate, 'device' | 'wireguardKey'>,
): EnvelopeOf<'approval'> | undefined {
  for (const approver of approversOf(lock)) {
    const said = state.approvals.get(approvalSlot(device, approver))
    const { decision, wireguardKey: approved } = said?.body ?? {}
    if (decision === 'approved' && approved && equal(approved, wireguardKey)) return said
  }
  return undefined
}
