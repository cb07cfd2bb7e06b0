/** Registration keys: secrets that let devices in without a person at hand. Stored as hashes. */
import { z } from 'zod'
import { toBase32, toHex, utf8 } from '../crypto/bytes.ts'
import { sha256 } from '../crypto/hash.ts'
import type { RandomBytes } from '../crypto/random.ts'
import type { Clock } from '../protocol/clock.ts'
import { type DeviceId, type OrganizationId, parseOrganizationId } from '../protocol/keys.ts'
import { type Seconds, seconds } from '../protocol/time.ts'
import { type Act, makerOf } from './act.ts'
import { audit } from './audit.ts'
import type { OrganizationChange } from './organization-change.ts'
import { type Page, type PageRequest, readPage } from './page.ts'
import { Refused } from './refusal.ts'
import { collection } from './store/collection.ts'
import type { Database } from './store/database.ts'

const PREFIX = 'nrk_'
/** 160 bits: nobody guesses one, so a fast hash of it is enough in the store. */
const SECRET_BYTES = 20
const ID_BYTES = 8

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
  readonly createdAt: Seconds
  readonly expiresAt: Seconds
}

export interface RegistrationKeys {
  /** Expired and used ones too. Newest first. */
  list(organization: OrganizationId): Promise<readonly RegistrationKey[]>
  /** In the order of their ids. Throws a 400 problem for a cursor of another list. */
  page(organization: OrganizationId, page: PageRequest): Promise<Page<RegistrationKey>>
  /** `secret` cannot be had again. */
  create(
    organization: OrganizationId,
    wanted: {
      readonly description: string
      readonly singleUse: boolean
      readonly expiresAt: Seconds
    },
    by: Act,
  ): Promise<{ readonly id: string; readonly secret: string }>
  /** False: there is no such key. */
  revoke(organization: OrganizationId, id: string, by: Act): Promise<boolean>
  /** Throws Refused (registration-key-refused) for an unknown one. */
  organizationOf(secret: string): Promise<OrganizationId>
  /** Counts a use. Throws Refused (registration-key-refused): unknown, expired, revoked or used up. */
  spend(
    change: OrganizationChange,
    secret: string,
    device: DeviceId,
  ): Promise<{ readonly owner: string; readonly byPerson: false }>
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
    revoke: (organization, id, by) =>
      database.transact(organization, async (transaction) => {
        const key = await transaction.get(KEY, `${organization}/${id}`)
        if (key === undefined) return false
        transaction.delete(KEY, `${organization}/${id}`)
        transaction.delete(KEY_BY_HASH, key.hash)
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
  wanted: Parameters<RegistrationKeys['create']>[1],
  by: Act,
): Promise<{ id: string; secret: string }> {
  const id = toBase32(randomBytes(ID_BYTES))
  const secret = PREFIX + toBase32(randomBytes(SECRET_BYTES))
  const hash = hashOf(secret)
  await database.transact(organization, async (transaction) => {
    transaction.put(KEY, `${organization}/${id}`, {
      hash,
      description: wanted.description,
      singleUse: wanted.singleUse,
      uses: 0,
      createdBy: makerOf(by),
      createdAt: clock.now(),
      expiresAt: wanted.expiresAt,
    })
    transaction.put(KEY_BY_HASH, hash, { organization, id })
    const after = { ...wanted }
    await audit(transaction, organization, by, {
      action: 'registration-key.created',
      subject: id,
      after,
    })
  })
  return { id, secret }
}

async function spendKey(
  { transaction, organization, now }: OrganizationChange,
  secret: string,
  device: DeviceId,
): Promise<{ owner: string; byPerson: false }> {
  const found = await transaction.get(KEY_BY_HASH, hashOf(secret))
  const id = `${organization}/${found?.id}`
  const key = found && (await transaction.get(KEY, id))
  if (found?.organization !== organization || key === undefined) throw unknownKey()
  if (key.expiresAt <= now) {
    throw refused(`expired on ${new Date(key.expiresAt * 1000).toISOString()}`)
  }
  // The device it let in may come again: its answer may have been lost.
  const isAgain = key.lastDevice === device
  if (key.singleUse && key.uses > 0 && !isAgain) throw refused('was for one use and has been used')
  transaction.put(KEY, id, { ...key, uses: key.uses + (isAgain ? 0 : 1), lastDevice: device })
  return { owner: key.description || `registration key ${found.id}`, byPerson: false }
}

function keyOf(id: string, record: KeyRecord): RegistrationKey {
  const { description, singleUse, uses } = record
  const [createdAt, expiresAt] = [seconds(record.createdAt), seconds(record.expiresAt)]
  return { id, description, singleUse, uses, createdAt, expiresAt }
}

function hashOf(secret: string): string {
  return toHex(sha256(utf8(secret)))
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
