/** A device as the store has it, and the indexes that keep its name and its WireGuard key its own. */
import { z } from 'zod'
import { utf8 } from '../crypto/bytes.ts'
import type { DeviceId, OrganizationId } from '../protocol/keys.ts'
import { ENVELOPE_BYTES, GROUPS, NAME_CHARACTERS, TEXT_CHARACTERS } from '../protocol/limits.ts'
import { ROLES } from '../protocol/membership-certificate.ts'
import { Refused } from './refusal.ts'
import { collection } from './store/collection.ts'
import type { Transaction } from './store/database.ts'

/** Bytes of a device's own groups: half of a certificate's. */
const GROUPS_BYTES = ENVELOPE_BYTES / 2

const ASKED = z.strictObject({ prefixes: z.array(z.string()), roles: z.array(z.enum(ROLES)) })
export type Asked = z.output<typeof ASKED>

const ISSUED = z.strictObject({ serial: z.string(), notBefore: z.int(), notAfter: z.int() })

export const DEVICE = collection(
  'device',
  z.strictObject({
    /** Hex of the X25519 public key. */
    wireguardKey: z.string(),
    name: z.string(),
    /** Who brought it in, as people call them. */
    owner: z.string(),
    /** The user who answers for it; absent in records of before there were several to an organization. */
    ownerId: z.string().optional(),
    /** When a person let it in; absent where a registration key did: it need not be vouched for again. */
    vouchedAt: z.int().optional(),
    system: z.string(),
    /** Given at the first enrolment; see addresses.ts. */
    number: z.int().optional(),
    groups: z.array(z.string()),
    /** Groups that its owner's identity provider gives, as of the last renewal. */
    claimedGroups: z.array(z.string()).optional(),
    prefixes: z.array(z.string()),
    roles: z.array(z.enum(ROLES)),
    /** What the device itself asks to advertise and to be. */
    asked: ASKED.optional(),
    /** What of that an admin has said no to. */
    denied: ASKED.optional(),
    metadata: z.record(z.string(), z.string()).optional(),
    /** Seconds it may be away before it is removed; absent: for ever. */
    ephemeralAfter: z.int().optional(),
    createdAt: z.int(),
    /** When the newest certificate was issued, or `createdAt`. */
    renewedAt: z.int(),
    /** Base64 of the newest membership certificate. */
    certificate: z.string().optional(),
    /** Certificates that have not expired: what a removal revokes. Oldest first. */
    issued: z.array(ISSUED),
  }),
)
export type DeviceRecord = z.output<typeof DEVICE.schema>

const DEVICE_NAME = collection('device-name', z.strictObject({ device: z.string() }))
const WIREGUARD_KEY = collection('wireguard-key', z.strictObject({ device: z.string() }))
/** Device keys that were removed: they come back only by a person's approval. */
export const REMOVED_DEVICE = collection('removed-device', z.strictObject({ removedAt: z.int() }))

/** When a device was connected to this registry, or to one that shares its store. By device record id. */
export const SEEN = collection('device-seen', z.strictObject({ at: z.int() }))

/** What a device said last of its endpoints and of each prefix, so that a restarted registry knows it. */
export const STATEMENT = collection('statement', z.strictObject({ envelope: z.string() }))

/** What its certificate says: its own, and its owner's. */
export function groupsOf({
  groups,
  claimedGroups = [],
}: Pick<DeviceRecord, 'groups' | 'claimedGroups'>): readonly string[] {
  return [...new Set([...groups, ...claimedGroups])].slice(0, GROUPS)
}

/** Whom its certificate names: the owner as people call them, or by id where that is more than a certificate's text. */
export function ownerOf(
  id: DeviceId,
  { owner, ownerId }: Pick<DeviceRecord, 'owner' | 'ownerId'>,
): string {
  const isText = owner.length <= TEXT_CHARACTERS && /^\P{Cc}*$/u.test(owner)
  return isText ? owner : (ownerId ?? id)
}

/** Throws Refused (certificate-invalid). */
export function checkGroups(groups: readonly string[]): void {
  const length = groups.reduce((sum, each) => sum + utf8(each).length, 0)
  if (length <= GROUPS_BYTES) return
  throw new Refused(
    'certificate-invalid',
    `groups: have ${length} bytes, want at most ${GROUPS_BYTES} (a certificate holds no more beside the rest)`,
    { field: 'groups' },
  )
}

/** @param subject `endpoints`, or a prefix */
export function statementId(
  organization: OrganizationId,
  device: DeviceId,
  subject: string,
): string {
  return `${organization}/${device}/${subject}`
}

export function deviceRecordId(organization: OrganizationId, device: DeviceId): string {
  return `${organization}/${device}`
}

/** The name asked for, or with -2, -3 … behind it where another device has it. */
export async function claimName(
  transaction: Transaction,
  organization: OrganizationId,
  device: DeviceId,
  wanted: string,
): Promise<string> {
  for (let count = 1; ; count++) {
    const suffix = count === 1 ? '' : `-${count}`
    const base = wanted.slice(0, NAME_CHARACTERS - suffix.length).replace(/-+$/, '')
    const name = base + suffix
    const holder = await transaction.get(DEVICE_NAME, `${organization}/${name}`)
    if (holder !== undefined && holder.device !== device) continue
    transaction.put(DEVICE_NAME, `${organization}/${name}`, { device })
    return name
  }
}

export function freeName(
  transaction: Transaction,
  organization: OrganizationId,
  name: string,
): void {
  transaction.delete(DEVICE_NAME, `${organization}/${name}`)
}

/** WireGuard knows peers by their key alone: two devices with one would take each other's traffic.
 *  Throws Refused (wireguard-key-taken). `key` is hex. */
export async function claimWireguardKey(
  transaction: Transaction,
  organization: OrganizationId,
  device: DeviceId,
  key: string,
): Promise<void> {
  const holder = await transaction.get(WIREGUARD_KEY, `${organization}/${key}`)
  if (holder !== undefined && holder.device !== device) {
    throw new Refused(
      'wireguard-key-taken',
      'the WireGuard key belongs to another device of the organization (make a new one)',
      { field: 'wireguardKey' },
    )
  }
  transaction.put(WIREGUARD_KEY, `${organization}/${key}`, { device })
}

export function freeWireguardKey(
  transaction: Transaction,
  organization: OrganizationId,
  key: string,
): void {
  transaction.delete(WIREGUARD_KEY, `${organization}/${key}`)
}
