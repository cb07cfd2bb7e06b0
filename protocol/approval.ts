/** Approval: an approver's word on a device of a locked organization (SPEC §4.3). */
import type { AgreementPublicKey } from '../crypto/agreement.ts'
import { bytes, type Claims, integer, moment } from './claims.ts'
import type { CborMap, CborValue } from './codec.ts'
import { type DeviceId, type DevicePublicKey, deviceIdOf, parseKey } from './keys.ts'
import { wireguardKeyOf } from './membership-certificate.ts'
import type { Seconds } from './time.ts'

/** Order is the wire's, never reused. */
export const APPROVAL_DECISIONS = ['denied', 'approved'] as const
export type ApprovalDecision = (typeof APPROVAL_DECISIONS)[number]

export interface Approval {
  /** Grows with every word of this approver on this device; the newest counts. */
  readonly sequence: number
  readonly issuedAt: Seconds
  readonly device: DeviceId
  readonly deviceKey: DevicePublicKey
  /** Approved with this key and no other. */
  readonly wireguardKey: AgreementPublicKey
  readonly decision: ApprovalDecision
}

const ISSUED_AT = { key: 6, name: 'issuedAt' }
const SEQUENCE = { key: -65537, name: 'sequence' }
const DEVICE_KEY = { key: -65538, name: 'device key' }
const WIREGUARD_KEY = { key: -65539, name: 'WireGuard key' }
const DECISION = { key: -65540, name: 'decision' }

export function encodeApproval(approval: Omit<Approval, 'device'>): CborMap {
  return new Map<CborValue, CborValue>([
    [ISSUED_AT.key, approval.issuedAt],
    [SEQUENCE.key, approval.sequence],
    [DEVICE_KEY.key, approval.deviceKey],
    [WIREGUARD_KEY.key, approval.wireguardKey],
    [DECISION.key, APPROVAL_DECISIONS.indexOf(approval.decision)],
  ])
}

/** Throws MalformedError. */
export function parseApproval(claims: Claims): Approval {
  const deviceKey = parseKey<'device'>(bytes(claims, DEVICE_KEY, 32), `${claims.what}: device key`)
  const decision = integer(claims, DECISION, 0, APPROVAL_DECISIONS.length - 1)
  return {
    sequence: integer(claims, SEQUENCE, 1, 2 ** 48),
    issuedAt: moment(claims, ISSUED_AT),
    device: deviceIdOf(deviceKey),
    deviceKey,
    wireguardKey: wireguardKeyOf(claims, WIREGUARD_KEY),
    decision: APPROVAL_DECISIONS[decision] ?? 'denied',
  }
}
