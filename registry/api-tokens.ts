/** API tokens: what programs of a user show instead of a session. Stored as hashes; each is good for some
 *  scopes, until a moment, and wherever its user is a member. */
import { z } from 'zod'
import { toBase32, toHex, utf8 } from '../crypto/bytes.ts'
import { sha256 } from '../crypto/hash.ts'
import type { RandomBytes } from '../crypto/random.ts'
import type { Clock } from '../protocol/clock.ts'
import { SCOPES, type Scope } from '../protocol/scopes.ts'
import { type Seconds, seconds } from '../protocol/time.ts'
import type { Act } from './act.ts'
import { audit } from './audit.ts'
import type { UserId } from './organizations.ts'
import { type Page, type PageRequest, readPage } from './page.ts'
import { Refused } from './refusal.ts'
import { collection } from './store/collection.ts'
import type { Database, Transaction } from './store/database.ts'

const PREFIX = 'nxt_'
/** 160 bits: nobody guesses one, so a fast hash of it is enough in the store. */
const SECRET_BYTES = 20
const ID_BYTES = 10
/** Tokens of one user that have not expired. */
const TOKENS = 100
/** How late `usedAt` may be, so that not every request writes. Seconds. */
const USED_PRECISION = 300
/** Seconds that an expired token stays in the list, for whoever wonders why a program fails. */
const EXPIRED_SHOWN = 7 * 86_400

/** By `<UserId>/<id>`. */
const TOKEN = collection(
  'api-token',
  z.strictObject({
    /** Hex of the SHA-256 of the secret. */
    hash: z.string(),
    description: z.string(),
    scopes: z.array(z.enum(SCOPES)),
    createdAt: z.int(),
    expiresAt: z.int(),
    usedAt: z.int().optional(),
    usedFrom: z.string().optional(),
  }),
)
type TokenRecord = z.output<typeof TOKEN.schema>
/** By hash of the secret. */
const TOKEN_BY_HASH = collection(
  'api-token-hash',
  z.strictObject({ user: z.string(), id: z.string() }),
)

/** A token without its secret. */
export interface ApiToken {
  readonly id: string
  readonly description: string
  readonly scopes: readonly Scope[]
  readonly createdAt: Seconds
  readonly expiresAt: Seconds
  /** Some minutes late at most; absent: never. */
  readonly usedAt?: Seconds
  /** The IP address that used it then. */
  readonly usedFrom?: string
}

/** A token that somebody shows. */
export interface TokenInUse extends ApiToken {
  readonly user: UserId
}

export interface NewToken {
  readonly description: string
  readonly scopes: readonly Scope[]
  readonly expiresAt: Seconds
}

export interface MadeToken {
  readonly id: string
  /** `nxt_…`; cannot be had again. */
  readonly secret: string
}

export interface ApiTokens {
  /** In the order of their ids. Throws a 400 problem for a cursor of another list. */
  page(user: UserId, page: PageRequest): Promise<Page<ApiToken>>
  /** Throws Refused (too-many-tokens). */
  create(user: UserId, wanted: NewToken, by: Act): Promise<MadeToken>
  /** In a transaction of the caller's. Throws Refused (too-many-tokens). */
  createIn(transaction: Transaction, user: UserId, wanted: NewToken, by: Act): Promise<MadeToken>
  /** False: there is no such token. */
  revoke(user: UserId, id: string, by: Act): Promise<boolean>
  /** The token that a secret stands for, and notes its use. Undefined: unknown, revoked or expired. */
  find(secret: string, from: string): Promise<TokenInUse | undefined>
  /** As found once: is it still good? */
  isGood(token: TokenInUse): Promise<boolean>
  /** Removes what expired some days ago. */
  forgetExpired(): Promise<void>
}

export interface ApiTokenParts {
  readonly database: Database
  readonly clock: Pick<Clock, 'now'>
  readonly randomBytes: RandomBytes
}

export function openApiTokens(parts: ApiTokenParts): ApiTokens {
  const { database, clock } = parts
  const createIn: ApiTokens['createIn'] = (transaction, user, wanted, by) =>
    createToken(parts, transaction, user, wanted, by)
  return {
    async page(user, wanted) {
      const { items, ...next } = await readPage(database, TOKEN, `${user}/`, wanted)
      return { items: items.map(({ id, value }) => tokenOf(idIn(id), value)), ...next }
    },
    createIn,
    create: (user, wanted, by) =>
      database.transact(scopeOf(user), (transaction) => createIn(transaction, user, wanted, by)),
    revoke: (user, id, by) =>
      database.transact(scopeOf(user), async (transaction) => {
        const known = await transaction.get(TOKEN, `${user}/${id}`)
        if (known === undefined) return false
        remove(transaction, `${user}/${id}`, known)
        const before = { description: known.description, scopes: known.scopes }
        await audit(transaction, user, by, { action: 'token.revoked', subject: id, before })
        return true
      }),
    find: (secret, from) => findToken(parts, secret, from),
    async isGood({ user, id }) {
      const known = await database.get(TOKEN, `${user}/${id}`)
      return known !== undefined && known.expiresAt > clock.now()
    },
    async forgetExpired() {
      const ended = clock.now() - EXPIRED_SHOWN
      for await (const { id, value } of database.list(TOKEN)) {
        if (value.expiresAt > ended) continue
        const [user = ''] = id.split('/')
        await database.transact(scopeOf(user), async (transaction) => {
          const known = await transaction.get(TOKEN, id)
          if (known !== undefined && known.expiresAt <= ended) remove(transaction, id, known)
        })
      }
    },
  }
}

/** The scope of transactions on a user's tokens. */
function scopeOf(user: string): string {
  return `api-tokens/${user}`
}

async function createToken(
  { clock, randomBytes }: ApiTokenParts,
  transaction: Transaction,
  user: UserId,
  wanted: NewToken,
  by: Act,
): Promise<MadeToken> {
  const now = clock.now()
  const known = await transaction.list(TOKEN, { under: `${user}/` })
  if (known.filter(({ value }) => value.expiresAt > now).length >= TOKENS) {
    throw new Refused('too-many-tokens', `you have ${TOKENS} tokens already (revoke some)`)
  }
  const id = toBase32(randomBytes(ID_BYTES))
  const secret = PREFIX + toBase32(randomBytes(SECRET_BYTES))
  const { description, expiresAt } = wanted
  const scopes = [...new Set(wanted.scopes)]
  const hash = hashOf(secret)
  transaction.put(TOKEN, `${user}/${id}`, { hash, description, scopes, createdAt: now, expiresAt })
  transaction.put(TOKEN_BY_HASH, hash, { user, id })
  const after = { description, scopes, expiresAt }
  await audit(transaction, user, by, { action: 'token.created', subject: id, after })
  return { id, secret }
}

async function findToken(
  { database, clock }: ApiTokenParts,
  secret: string,
  from: string,
): Promise<TokenInUse | undefined> {
  const found = await database.get(TOKEN_BY_HASH, hashOf(secret))
  const key = `${found?.user}/${found?.id}`
  const known = found && (await database.get(TOKEN, key))
  const now = clock.now()
  if (found === undefined || known === undefined || known.expiresAt <= now) return undefined
  if (now - (known.usedAt ?? 0) > USED_PRECISION || known.usedFrom !== from) {
    await database.transact(scopeOf(found.user), async (transaction) => {
      const current = await transaction.get(TOKEN, key)
      if (current) transaction.put(TOKEN, key, { ...current, usedAt: now, usedFrom: from })
    })
  }
  return { ...tokenOf(found.id, known), user: found.user as UserId } // as createToken put it
}

function remove(transaction: Transaction, id: string, { hash }: TokenRecord): void {
  transaction.delete(TOKEN, id)
  transaction.delete(TOKEN_BY_HASH, hash)
}

function tokenOf(id: string, record: TokenRecord): ApiToken {
  const { description, scopes, usedAt, usedFrom } = record
  return {
    ...{ id, description, scopes },
    createdAt: seconds(record.createdAt),
    expiresAt: seconds(record.expiresAt),
    ...(usedAt !== undefined && { usedAt: seconds(usedAt) }),
    ...(usedFrom !== undefined && { usedFrom }),
  }
}

function idIn(key: string): string {
  return key.slice(key.indexOf('/') + 1)
}

function hashOf(secret: string): string {
  return toHex(sha256(utf8(secret)))
}
