/** What `nexctl organization add|list|remove` ask and are answered. */
import { z } from 'zod'

/** A label: what an operator calls an organization of this device by. */
export const LABEL = z
  .string()
  .regex(/^[a-z0-9](?:[a-z0-9-]{0,22}[a-z0-9])?$/, 'want 1 to 24 of a-z, 0-9 and inner hyphens')

export const ORGANIZATION = z.object({
  label: z.string(),
  /** Absent until this device is in it. */
  organization: z.object({ id: z.string(), name: z.string() }).optional(),
  registry: z.string(),
  /** `waiting` for a person, by `link` and `code`; `restarting`: it ended and is started again; `failed`: it was never in,
   *  and is not tried again before the next start of nexd. */
  state: z.enum(['starting', 'waiting', 'running', 'restarting', 'failed']),
  reason: z.string().optional(),
  link: z.string().optional(),
  code: z.string().optional(),
  fingerprint: z.string().optional(),
  addresses: z.array(z.string()),
  interface: z.string(),
  /** Of its own part of the local API. */
  socket: z.string(),
  /** What of it is not carried on this host, and why: lines for people. */
  refused: z.array(z.string()),
  /** True: nothing of it is carried. */
  isRefused: z.boolean(),
})
export type OrganizationReport = z.output<typeof ORGANIZATION>
export const ORGANIZATIONS = z.array(ORGANIZATION)

export const ORGANIZATION_CHANGE = z.discriminatedUnion('action', [
  z.strictObject({
    action: z.literal('add'),
    registry: z.string().min(1).max(512),
    label: LABEL.optional(),
    registrationKey: z.string().min(1).max(256).optional(),
    /** May it carry addresses of the internet on this host? Not unless given. */
    allowPublicRoutes: z.boolean().optional(),
  }),
  z.strictObject({
    action: z.literal('remove'),
    label: z.string().min(1).max(64),
    /** Its keys and all that is known of it are deleted. */
    forget: z.boolean(),
  }),
])
export type OrganizationChange = z.output<typeof ORGANIZATION_CHANGE>

export const ORGANIZATION_CHANGED = z.object({ label: z.string(), folder: z.string() })
export type OrganizationChanged = z.output<typeof ORGANIZATION_CHANGED>

/** What the daemon lets the local API do with organizations. Each throws ControlError. */
export interface OrganizationControls {
  /** The first one first. */
  list(): readonly OrganizationReport[]
  /** Adding resolves when it has begun, removing when nothing of it is on the host any more. */
  change(change: OrganizationChange): Promise<OrganizationChanged>
}
