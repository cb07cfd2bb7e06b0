/** An organization's head record: read and written by every change of the organization, so that changes
 *  have one order and no two can give out the same thing. Beside it, the manifests, by sequence. */
import { z } from 'zod'
import { parsePrefix } from '../protocol/address.ts'
import type { OrganizationId } from '../protocol/keys.ts'
import type { Rendezvous } from '../protocol/manifest.ts'
import { NAMES_RECORD } from './names-record.ts'
import { type Ranges, standardRanges } from './ranges.ts'
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

/** An issuer that signs no more, but is listed until what it signed has ended (SPEC §5.6). */
const FORMER_ISSUER = ISSUER.extend({
  /** End of its last membership certificate. */
  until: z.int(),
})

/** What an organization's owner decides for all of its devices. */
const SETTINGS = z.strictObject({
  /** What members let in waits for an admin. */
  approvalRequired: z.boolean(),
  /** Seconds a membership certificate lasts; absent: the registry's own rule. */
  membershipLifetime: z.int().optional(),
  /** Seconds after which a device's owner must sign in again for it; absent: never. */
  reauthenticateAfter: z.int().optional(),
})
export type OrganizationSettings = z.output<typeof SETTINGS>

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
    formerIssuers: z.array(FORMER_ISSUER).optional(),
    rendezvous: z.array(
      z.strictObject({ multiaddrs: z.array(z.string()), stun: z.array(z.string()) }),
    ),
    /** Absent: none. */
    names: NAMES_RECORD.optional(),
    /** IPv4, then IPv6; absent: the standard ones. */
    ranges: z.tuple([z.string(), z.string()]).optional(),
    settings: SETTINGS.default({ approvalRequired: false }),
    /** Since when the root key is kept elsewhere, as its owner has proved; absent: it is here, or the
     *  operator has moved its file. */
    rootAwaySince: z.int().optional(),
    /** From then on nothing but its last manifest is left of it, for its devices to hear. */
    deletedAt: z.int().optional(),
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

export function rangesOf(organization: OrganizationId, { ranges }: Pick<Head, 'ranges'>): Ranges {
  if (ranges === undefined) return standardRanges(organization)
  const [ipv4, ipv6] = ranges
  return [parsePrefix(ipv4), parsePrefix(ipv6)]
}

export function manifestIdOf(organization: OrganizationId, sequence: number): string {
  return `${organization}/${String(sequence).padStart(15, '0')}`
}

export function rendezvousRecord(rendezvous: readonly Rendezvous[]): Head['rendezvous'] {
  return rendezvous.map(({ multiaddrs, stun }) => ({
    multiaddrs: [...multiaddrs],
    stun: [...stun],
  }))
}
