/** Registration keys: secrets that let devices in without a person at hand. Stored as hashes. */
import { z } from 'zod'
import { toBase32, toHex, utf8 } from '../crypto/bytes.ts'
import { sha256 } from '../crypto/hash.ts'
import type { RandomBytes } from '../crypto/random.ts'
import type { Clock } from '../protocol/clock.ts'
import { type DeviceId, type OrganizationId, parseOrganizationId } from '../protocol/keys.ts'
import { type Seconds, seconds } from '../protocol/time.ts'
import { type Act, makerOf } from './act.ts'
import { audit, difference } from './audit.ts'
import { checkGroups } from './device-record.ts'
import type { Admission } from './enrolment.ts'
import type { OrganizationChange } from './organization-change.ts'
import { members, ownerNameOf, users } from './organizations.ts'
import { type Page, type PageRequest, readPage } from './page.ts'
import { isRecordId } from './record-id.ts'
import { Refused } from './refusal.ts'
import { isAtLeast } from './roles.ts'
import { collection } from './store/collection.ts'
import type { Database, Transaction } from './store/database.ts'

const PREFIX = 'nrk_'
/** 160 bits: nobody guesses one, so a fast hash of it is enough in the store. */
const SECRET_BYTES = 20
const ID_BYTES = 8
/** Of one organization, over ones included. */
const REGISTRATION_KEYS = 1000

const KEY = collection(
  'registration-key',
  z.strictObject({
    /** Hex of the SHA-256 of the secret. */
    hash: z.string(),
    description: z.string(),
    singleUse: z.boolean(),
    uses: z.int(),
    /** The device it let in last. */
    lastDevice: z.string().optional(),
    createdBy: z.string(),
    createdAt: z.int(),
    expiresAt: z.int(),
    /** Groups of the devices it lets in. */
    groups: z.array(z.string()).optional(),
    /** Seconds that such a device may be away before it is removed. */
    ephemeralAfter: z.int().optional(),
  }),
)
type KeyRecord = z.output<typeof KEY.schema>
/** By hash of the secret. */
const KEY_BY_HASH = collection(
  'registration-key-hash',
  z.strictObject({ organization: z.string(), id: z.string() }),
)

/** A key without its secret. */
export interface RegistrationKey {
  readonly id: string
  readonly description: string
  readonly singleUse: boolean
  readonly uses: number
  readonly groups: readonly string[]
  readonly ephemeralAfter: number | undefined
  /** The user who answers for the devices it lets in. */
  readonly createdBy: string
  readonly createdAt: Seconds
  readonly expiresAt: Seconds
}

export interface NewRegistrationKey {
  readonly description: string
  readonly singleUse: boolean
  readonly expiresAt: Seconds
  readonly groups?: readonly string[] | undefined
  readonly ephemeralAfter?: number | undefined
}

export interface RegistrationKeys {
  /** Expired and used ones too. Newest first. */
  list(organization: OrganizationId): Promise<readonly RegistrationKey[]>
  /** In the order of their ids. Throws a 400 problem for a cursor of another list. */
  page(organization: OrganizationId, page: PageRequest): Promise<Page<RegistrationKey>>
  /** `secret` cannot be had again. Throws Refused (certificate-invalid, too-many-registration-keys). */
  create(
    organization: OrganizationId,
    wanted: NewRegistrationKey,
    by: Act,
  ): Promise<{ readonly id: string; readonly secret: string }>
  get(organization: OrganizationId, id: string): Promise<RegistrationKey | undefined>
  /** Undefined: there is no such key. */
  describe(
    organization: OrganizationId,
    id: string,
    description: string,
    by: Act,
  ): Promise<RegistrationKey | undefined>
  /** False: there is no such key. */
  revoke(organization: OrganizationId, id: string, by: Act): Promise<boolean>
  /** Throws Refused (registration-key-refused) for an unknown one. */
  organizationOf(secret: string): Promise<OrganizationId>
  /** Counts a use. Throws Refused (registration-key-refused): unknown, expired, revoked, used up, or of
   *  who may not let devices in so any more. */
  spend(change: OrganizationChange, secret: string, device: DeviceId): Promise<KeyGrant>
}

/** What a key says of the device it lets in. */
export type KeyGrant = Pick<Admission, 'owner' | 'ownerId' | 'groups' | 'ephemeralAfter'> & {
  readonly byPerson: false
}

export function openRegistrationKeys(parts: {
  readonly database: Database
  readonly clock: Pick<Clock, 'now'>
  readonly randomBytes: RandomBytes
}): RegistrationKeys {
  const { database } = parts
  return {
    async list(organization) {
      const found: RegistrationKey[] = []
      for await (const { id, value } of database.list(KEY, { under: `${organization}/` })) {
        found.push(keyOf(id.slice(organization.length + 1), value))
      }
      return found.toSorted((a, b) => b.createdAt - a.createdAt)
    },
    async page(organization, wanted) {
      const { items, ...next } = await readPage(database, KEY, `${organization}/`, wanted)
      const keys = items.map(({ id, value }) => keyOf(id.slice(organization.length + 1), value))
      return { items: keys, ...next }
    },
    create: (organization, wanted, by) => createKey(parts, organization, wanted, by),
    async get(organization, id) {
      const key = isRecordId(id) && (await database.get(KEY, `${organization}/${id}`))
      return key ? keyOf(id, key) : undefined
    },
    describe: (organization, id, description, by) =>
      database.transact(organization, async (transaction) => {
        const key = isRecordId(id) && (await transaction.get(KEY, `${organization}/${id}`))
        if (!key) return undefined
        transaction.put(KEY, `${organization}/${id}`, { ...key, description })
        await audit(transaction, organization, by, {
          ...{ action: 'registration-key.described', subject: id },
          ...difference({ description: key.description }, { description }),
        })
        return keyOf(id, { ...key, description })
      }),
    revoke: (organization, id, by) =>
      database.transact(organization, async (transaction) => {
        const key = isRecordId(id) && (await transaction.get(KEY, `${organization}/${id}`))
        if (!key) return false
        deleteKey(transaction, `${organization}/${id}`, key)
        await audit(transaction, organization, by, {
          ...{ action: 'registration-key.revoked', subject: id },
          before: { description: key.description, uses: key.uses },
        })
        return true
      }),
    async organizationOf(secret) {
      const found = await database.get(KEY_BY_HASH, hashOf(secret))
      if (found === undefined) throw unknownKey()
      return parseOrganizationId(found.organization)
    },
    spend: spendKey,
  }
}

async function createKey(
  { database, clock, randomBytes }: Parameters<typeof openRegistrationKeys>[0],
  organization: OrganizationId,
  wanted: NewRegistrationKey,
  by: Act,
): Promise<{ id: string; secret: string }> {
  const id = toBase32(randomBytes(ID_BYTES))
  const secret = PREFIX + toBase32(randomBytes(SECRET_BYTES))
  const hash = hashOf(secret)
  const { groups = [], ephemeralAfter, ...rest } = wanted
  checkGroups(groups)
  await database.transact(organization, async (transaction) => {
    const known = await transaction.list(KEY, { under: `${organization}/` })
    if (known.length >= REGISTRATION_KEYS) throw tooManyKeys()
    transaction.put(KEY, `${organization}/${id}`, {
      ...{ ...rest, hash, uses: 0, createdBy: makerOf(by), createdAt: clock.now() },
      ...(groups.length > 0 && { groups: [...groups] }),
      ...(ephemeralAfter !== undefined && { ephemeralAfter }),
    })
    transaction.put(KEY_BY_HASH, hash, { organization, id })
    await audit(transaction, organization, by, {
      ...{ action: 'registration-key.created', subject: id },
      after: { ...wanted },
    })
  })
  return { id, secret }
}

async function spendKey(
  change: OrganizationChange,
  secret: string,
  device: DeviceId,
): Promise<KeyGrant> {
  const { transaction, organization, now } = change
  const found = await transaction.get(KEY_BY_HASH, hashOf(secret))
  const id = `${organization}/${found?.id}`
  const key = found && (await transaction.get(KEY, id))
  if (found?.organization !== organization || key === undefined) throw unknownKey()
  if (key.expiresAt <= now) {
    throw refused(`expired on ${new Date(key.expiresAt * 1000).toISOString()}`)
  }
  await checkMaker(change, key, device)
  // The device it let in may come again: its answer may have been lost.
  const isAgain = key.lastDevice === device
  if (key.singleUse && key.uses > 0 && !isAgain) throw refused('was for one use and has been used')
  transaction.put(KEY, id, { ...key, uses: key.uses + (isAgain ? 0 : 1), lastDevice: device })
  const { createdBy: ownerId, groups, ephemeralAfter } = key
  const owner = ownerNameOf(await transaction.get(users, ownerId), ownerId)
  return { owner, ownerId, groups, ephemeralAfter, byPerson: false }
}

/** What who made the key may not let in any more, the key does not; a device of theirs comes again. */
async function checkMaker(
  change: OrganizationChange,
  { createdBy, groups = [] }: KeyRecord,
  device: DeviceId,
): Promise<void> {
  const { transaction, organization, head } = change
  const maker = await transaction.get(members, `${organization}/${createdBy}`)
  if (maker === undefined) throw refused('was made by somebody who is no member any more')
  const isForAdmins = head.settings.approvalRequired || groups.length > 0
  if (!isForAdmins || isAtLeast(maker.role, 'admin')) return
  if ((await change.device(device))?.ownerId === createdBy) return
  throw refused('was made by somebody who may not let devices in so any more')
}

function keyOf(id: string, record: KeyRecord): RegistrationKey {
  const { description, singleUse, uses, groups = [], ephemeralAfter, createdBy } = record
  const [createdAt, expiresAt] = [seconds(record.createdAt), seconds(record.expiresAt)]
  return {
    ...{ id, description, singleUse, uses, groups, ephemeralAfter, createdBy },
    ...{ createdAt, expiresAt },
  }
}

/** What a member who goes made lets nobody in any more. */
export async function revokeRegistrationKeysOf(
  { transaction, organization }: OrganizationChange,
  user: string,
): Promise<void> {
  for (const { id, value } of await transaction.list(KEY, { under: `${organization}/` })) {
    if (value.createdBy === user) deleteKey(transaction, id, value)
  }
}

export async function giveRegistrationKeys(
  { transaction, organization }: OrganizationChange,
  from: string,
  to: string,
): Promise<void> {
  for (const { id, value } of await transaction.list(KEY, { under: `${organization}/` })) {
    if (value.createdBy === from) transaction.put(KEY, id, { ...value, createdBy: to })
  }
}

export async function revokeAllRegistrationKeys({
  transaction,
  organization,
}: OrganizationChange): Promise<void> {
  for (const { id, value } of await transaction.list(KEY, { under: `${organization}/` })) {
    deleteKey(transaction, id, value)
  }
}

function deleteKey(transaction: Transaction, id: string, { hash }: KeyRecord): void {
  transaction.delete(KEY, id)
  transaction.delete(KEY_BY_HASH, hash)
}

function hashOf(secret: string): string {
  return toHex(sha256(utf8(secret)))
}

function tooManyKeys(): Refused {
  return new Refused(
    'too-many-registration-keys',
    `the organization has ${REGISTRATION_KEYS} registration keys, the most it may have (revoke some)`,
  )
}

function unknownKey(): Refused {
  return refused('is unknown here or was revoked')
}

function refused(why: string): Refused {
  return new Refused(
    'registration-key-refused',
    `the registration key ${why} (ask for a new one)`,
    {
      field: 'registrationKey',
    },
  )
}
