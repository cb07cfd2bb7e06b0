/** Messages between nexd and what it has started for a further organization. What comes from there is checked: it is the
 *  process that talks to that organization. */
import { z } from 'zod'
import { type Prefix, parsePrefix } from '../../protocol/address.ts'
import { type OrganizationId, parseOrganizationId } from '../../protocol/keys.ts'
import { CLAIM_LIMITS, type Claim } from './claims.ts'
import type { Share } from './share.ts'
import type { Wants } from './wants.ts'

const PREFIX = z
  .string()
  .max(49)
  .transform((text): Prefix => parsePrefix(text))
const ORGANIZATION_ID = z
  .string()
  .max(64)
  .transform((text): OrganizationId => parseOrganizationId(text))

const CLAIM: z.ZodType<Claim> = z.discriminatedUnion('kind', [
  z.object({ kind: z.enum(['range', 'prefix', 'underlay']), value: PREFIX }),
  z.object({ kind: z.literal('domain'), value: z.string().max(253) }),
  z.object({ kind: z.literal('exit'), value: z.literal('') }),
])

const SHORT = z.string().max(1024)

const FROM_FURTHER = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('hello') }),
  z.object({ kind: z.literal('announce'), code: SHORT, link: SHORT, fingerprint: SHORT }),
  z.object({ kind: z.literal('approved') }),
  z.object({
    kind: z.literal('wants'),
    wants: z.object({
      organization: ORGANIZATION_ID,
      name: z.string().max(256),
      addresses: z.array(PREFIX).max(16),
      claims: z.array(CLAIM).max(CLAIM_LIMITS.claims + 1),
    }),
  }),
  z.object({ kind: z.literal('running') }),
  z.object({ kind: z.literal('ending'), reason: SHORT }),
])
export type FromFurther = z.output<typeof FROM_FURTHER>
/** As it is sent. */
export type ToFirst =
  | Exclude<FromFurther, { kind: 'wants' }>
  | { readonly kind: 'wants'; readonly wants: Wants }

export interface ToFurther {
  readonly kind: 'share'
  readonly share: Share
}

/** Throws ZodError or MalformedError. */
export function parseFromFurther(message: unknown): FromFurther {
  return FROM_FURTHER.parse(message)
}
