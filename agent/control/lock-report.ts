/** What the local API answers about the lock of the organization. */
import { z } from 'zod'

const WAITING = z.object({
  name: z.string(),
  deviceId: z.string(),
  owner: z.string(),
  /** Of both its keys; what a person compares with the other screen. */
  fingerprint: z.string(),
  /** Base64: approved with it and no other. */
  wireguardKey: z.string(),
  /** It was certified before the lock, and counts until its certificate ends. ISO 8601. */
  countsUntil: z.string().optional(),
  /** This device has said no. */
  denied: z.boolean(),
})

export const LOCK = z.object({
  locked: z.boolean(),
  /** Of this device. */
  fingerprint: z.string(),
  since: z.string().optional(),
  approvers: z.array(
    z.object({ deviceId: z.string(), name: z.string().optional(), isThisDevice: z.boolean() }),
  ),
  /** Members-to-be that no approver has approved. */
  waiting: z.array(WAITING),
})
export type LockReport = z.output<typeof LOCK>

export const LOCK_DECISION = z.strictObject({
  /** Name, device id or fingerprint. */
  device: z.string().min(1).max(128),
  decision: z.enum(['approved', 'denied']),
})
export const LOCK_DECIDED = z.object({
  name: z.string(),
  deviceId: z.string(),
  fingerprint: z.string(),
  wireguardKey: z.string(),
})
export type LockDecided = z.output<typeof LOCK_DECIDED>

export interface LockControls {
  report(): LockReport
  /** Signs it and tells everybody. Throws ControlError where this device is no approver, or knows no such device. */
  decide(device: string, decision: 'approved' | 'denied'): LockDecided
}
