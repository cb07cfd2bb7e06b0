/** An organization's head record: read and written by every change of the organization, so that changes
 *  have one order and no two can give out the same thing. Beside it, the manifests, by sequence. */
import { z } from 'zod'
import type { OrganizationId } from '../protocol/keys.ts'
import { NAMES_RECORD } from './names-record.ts'
import { collection } from './store/collection.ts'

const BASE64 = z.string()

const ISSUER = z.strictObject({
  /** Base32 of the issuer's public key. */
  key: z.string(),
  /** The issuer certificate. */
  certificate: BASE64,
  notBefore: z.int(),
  notAfter: z.int(),
})

export const HEAD = collection(
  'organization-head',
  z.strictObject({
    /** For people; goes into manifests. */
    name: z.string(),
    /** Counts changes. */
    revision: z.int(),
    manifestSequence: z.int(),
    /** Hex of the SHA-256 of the last manifest. */
    manifestHash: z.string(),
    /** The last address number given out in order. */
    lastNumber: z.int(),
    issuer: ISSUER,
    rendezvous: z.array(
      z.strictObject({ multiaddrs: z.array(z.string()), stun: z.array(z.string()) }),
    ),
    /** Absent: none. */
    names: NAMES_RECORD.optional(),
  }),
)
export type Head = z.output<typeof HEAD.schema>

/** Every manifest ever made, as signed. */
export const MANIFEST = collection('manifest', z.strictObject({ envelope: BASE64 }))

/** Revocations of the last manifest; ended ones leave with the next. */
export const REVOCATIONS_OF = collection(
  'revocations',
  z.array(z.strictObject({ serial: z.string(), notAfter: z.int() })),
)

export function manifestIdOf(organization: OrganizationId, sequence: number): string {
  return `${organization}/${String(sequence).padStart(15, '0')}`
}
