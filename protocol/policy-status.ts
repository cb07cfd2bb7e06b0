/** Policy status: which policy a device holds to, as its endpoint update tells the others (SPEC §14.6). */
import { type Claims, type Field, integer } from './claims.ts'
import type { CborValue } from './codec.ts'
import { MalformedError } from './errors.ts'
import { POLICY_STATUS_ITEMS } from './limits.ts'
import { type Seconds, seconds } from './time.ts'

/** `enforced`: its packets are held to it · `closed`: it could not be applied, so nothing passes · `not-understood`:
 *  its version is a later one, so nothing passes. Order is the wire's. */
export const POLICY_STATES = ['unknown', 'enforced', 'closed', 'not-understood'] as const
export type PolicyState = (typeof POLICY_STATES)[number]

export interface PolicyStatus {
  /** Of the policy; 0 where it cannot be read. */
  readonly revision: number
  readonly state: PolicyState
  readonly since: Seconds
}

export function encodePolicyStatus({ revision, state, since }: PolicyStatus): CborValue {
  return [revision, POLICY_STATES.indexOf(state), since]
}

/** Undefined where the device says nothing: its policy is of version 0, or its nexd of an earlier version. A state of a
 *  later version reads as `unknown`, and further items are ignored. Throws MalformedError. */
export function parsePolicyStatus(claims: Claims, field: Field): PolicyStatus | undefined {
  const item = claims.map.get(field.key)
  if (item === undefined) return undefined
  if (!Array.isArray(item) || item.length < 3 || item.length > POLICY_STATUS_ITEMS) {
    throw new MalformedError(`${claims.what}: ${field.name}: want [revision, state, since]`)
  }
  const items: Claims = { what: `${claims.what}: ${field.name}`, map: new Map(item.entries()) }
  return {
    revision: integer(items, { key: 0, name: 'revision' }, 0, 2 ** 48),
    state: POLICY_STATES[integer(items, { key: 1, name: 'state' }, 0, 255)] ?? 'unknown',
    since: seconds(integer(items, { key: 2, name: 'since' }, 0, 2 ** 40)),
  }
}
