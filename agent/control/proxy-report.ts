/** What `nexctl nexd proxy` and `nexctl expose` ask and are answered. */
import { z } from 'zod'

export const PROXY = z.object({
  /** Of this device in the mesh: where its ingress rules are reached. */
  addresses: z.array(z.string()),
  rules: z.array(
    z.object({
      direction: z.enum(['ingress', 'egress']),
      rule: z.string(),
      /** Given by an option of nexd: it is not kept, and comes back with the option. */
      isOption: z.boolean(),
    }),
  ),
})
export type ProxyReport = z.output<typeof PROXY>

const RULES = z.array(z.string().max(400)).max(256).default([])

export const PROXY_CHANGE = z
  .strictObject({
    /** `ensure` adds what is not there yet. */
    action: z.enum(['add', 'ensure', 'remove']),
    ingress: RULES,
    egress: RULES,
  })
  .refine(({ ingress, egress }) => ingress.length + egress.length > 0, {
    message: 'want at least one rule, ingress or egress',
  })
export type ProxyChange = z.output<typeof PROXY_CHANGE>

/** What the daemon lets the local API do with its proxy. */
export interface ProxyControls {
  rules(): ProxyReport
  /** All rules or none. Throws ProxyRefusedError on a malformed rule, on one that is there already, or is not. */
  change(change: ProxyChange): Promise<ProxyReport>
}

/** A rule that can't be added or removed; the message is for the operator. */
export class ProxyRefusedError extends Error {
  override readonly name = 'ProxyRefusedError'
  readonly code = 'ERR_PROXY_RULE'
}
