/** An organization's issuer as nexctl shows it. */
import { z } from 'zod'
import type { Json } from './registry-api.ts'

const STATUS = z.object({
  key: z.string(),
  notAfter: z.int(),
  root: z.string(),
  former: z.array(z.unknown()),
  lock: z
    .object({ approvers: z.array(z.object({ device: z.string(), name: z.string().optional() })) })
    .optional(),
  endsInDays: z.int().optional(),
})

/** What people want to know of an issuer. */
export function issuerDetails(answer: Json): Json {
  const { key, notAfter, root, former, lock, endsInDays } = STATUS.parse(answer)
  const until = new Date(notAfter * 1000).toISOString()
  const soon =
    endsInDays === undefined
      ? ''
      : ` (IN ${endsInDays} DAYS, and nothing renews it: nexctl organization root request)`
  return {
    issuer: key,
    issuerCertificateEnds: until + soon,
    rootKey: root,
    ...(former.length > 0 && { formerIssuers: former.length }),
    approvers: lock?.approvers.map(({ device, name }) => name ?? device) ?? [],
  }
}
