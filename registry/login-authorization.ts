/** Login of a program by device authorization (RFC 8628): it asks for scopes, a person who signed in sees
 *  what is asked and decides, and the program gets an API token of that person. */
import { toBase64url } from '../crypto/bytes.ts'
import type { RandomBytes } from '../crypto/random.ts'
import type { Clock } from '../protocol/clock.ts'
import type { Scope } from '../protocol/scopes.ts'
import { type Seconds, seconds } from '../protocol/time.ts'
import type { Act } from './act.ts'
import type { ApiTokens } from './api-tokens.ts'
import {
  hashOf,
  LOGIN,
  type Login,
  PENDING,
  stopWaiting,
  USER_CODE,
} from './authorization-record.ts'
import type { PollAnswer } from './device-authorization.ts'
import type { UserId } from './organizations.ts'
import { checkPending } from './pending-authorizations.ts'
import { openPollPace, POLL_INTERVAL, type PollPace } from './poll-pace.ts'
import type { Database, Transaction } from './store/database.ts'
import { deleteExpired } from './store/expiry.ts'
import { drawUserCode, readUserCode } from './user-code.ts'

/** Seconds a person has to decide. */
const AUTHORIZATION_LIFETIME = 600
const SECRET_BYTES = 32

/** What a program asks for. */
export interface LoginRequest {
  /** What it calls itself: `nexctl on laptop`. */
  readonly client: string
  readonly scopes: readonly Scope[]
  /** Seconds that the token shall last. */
  readonly lifetime: number
  readonly requestedFrom: string
  /** What counts as one asker. */
  readonly source: string
}

/** A program that waits for a person's decision. */
export interface PendingLogin extends Omit<LoginRequest, 'source'> {
  readonly userCode: string
  readonly expiresAt: Seconds
}

export interface StartedLogin {
  readonly deviceCode: string
  readonly userCode: string
  readonly expiresIn: number
  readonly interval: number
}

export interface Logins {
  /** Throws Refused (too-many-pending). */
  start(request: LoginRequest): Promise<StartedLogin>
  /** `by` is the request's act: the token is entered as made by the user who approved. */
  poll(deviceCode: string, by: Act): Promise<PollAnswer>
  /** As typed. Undefined: unknown, expired or decided. */
  find(userCode: string): Promise<PendingLogin | undefined>
  /** False: unknown, expired or decided. */
  approve(
    userCode: string,
    user: { readonly user: UserId; readonly name: string },
  ): Promise<boolean>
  deny(userCode: string): Promise<boolean>
  forgetExpired(): Promise<void>
}

export interface LoginParts {
  readonly database: Database
  readonly tokens: Pick<ApiTokens, 'createIn'>
  readonly clock: Pick<Clock, 'now' | 'monotonicMs'>
  readonly randomBytes: RandomBytes
}

/** One scope with device authorization: their user codes are of one space. */
const SCOPE = 'device-authorizations'

export function openLogins(parts: LoginParts): Logins {
  const { database, clock } = parts
  const pace = openPollPace(clock)
  const decide = (typed: string, decision: Login['decision']) =>
    database.transact(SCOPE, async (transaction) => {
      const found = await findPending(transaction, typed, clock.now())
      if (found === undefined) return false
      const [hash, login] = found
      stopWaiting(transaction, hash, login)
      transaction.put(LOGIN, hash, { ...login, decision })
      return true
    })
  return {
    start: (request) => startLogin(parts, request),
    poll: (deviceCode, by) => pollLogin(parts, pace, deviceCode, by),
    async find(typed) {
      const found = await findPending(database, typed, clock.now())
      if (found === undefined) return undefined
      const [, { source: _, decision: __, ...login }] = found
      return { ...login, expiresAt: seconds(login.expiresAt) }
    },
    approve: (typed, user) => decide(typed, { kind: 'approved', ...user }),
    deny: (typed) => decide(typed, { kind: 'denied' }),
    async forgetExpired() {
      const now = clock.now()
      await deleteExpired(database, { scope: SCOPE, of: LOGIN, now }, (transaction, id, login) => {
        transaction.delete(LOGIN, id)
        stopWaiting(transaction, id, login)
      })
      pace.forgetExpired(now)
    },
  }
}

async function startLogin(
  { database, clock, randomBytes }: LoginParts,
  { client, scopes, lifetime, requestedFrom, source }: LoginRequest,
): Promise<StartedLogin> {
  const deviceCode = toBase64url(randomBytes(SECRET_BYTES))
  const hash = hashOf(deviceCode)
  const now = clock.now()
  const expiresAt = now + AUTHORIZATION_LIFETIME
  const userCode = await database.transact(SCOPE, async (transaction) => {
    await checkPending(database, source, { now, lifetime: AUTHORIZATION_LIFETIME })
    const code = await unusedCode(transaction, randomBytes)
    transaction.put(LOGIN, hash, {
      ...{ userCode: code, client, lifetime, requestedFrom, source, expiresAt },
      scopes: [...new Set(scopes)],
      decision: { kind: 'pending' },
    })
    transaction.put(USER_CODE, code, { authorization: hash })
    transaction.put(PENDING, `${source}/${hash}`, {})
    return code
  })
  return { deviceCode, userCode, expiresIn: AUTHORIZATION_LIFETIME, interval: POLL_INTERVAL }
}

async function unusedCode(transaction: Transaction, randomBytes: RandomBytes): Promise<string> {
  for (;;) {
    const code = drawUserCode(randomBytes)
    if ((await transaction.get(USER_CODE, code)) === undefined) return code
  }
}

async function pollLogin(
  parts: LoginParts,
  pace: PollPace,
  deviceCode: string,
  by: Act,
): Promise<PollAnswer> {
  const { database, clock } = parts
  const hash = hashOf(deviceCode)
  const known = await database.get(LOGIN, hash)
  if (known === undefined) return { kind: 'unknown' }
  if (known.expiresAt <= clock.now()) return { kind: 'expired' }
  if (!pace.isInPace(hash, known.expiresAt)) return { kind: 'too-soon' }
  if (known.decision.kind === 'pending') return { kind: 'pending' }
  pace.forget(hash)
  return conclude(parts, hash, by)
}

/** Tells the decision, once: the token is made in the transaction that forgets the authorization. */
async function conclude({ database, tokens, clock }: LoginParts, hash: string, by: Act) {
  return database.transact<PollAnswer>(`login-authorization/${hash}`, async (transaction) => {
    const known = await transaction.get(LOGIN, hash)
    if (known === undefined) return { kind: 'unknown' }
    transaction.delete(LOGIN, hash)
    if (known.decision.kind !== 'approved') return { kind: 'denied' }
    const { client, scopes, lifetime, decision } = known
    const user = decision.user as UserId // as `approve` put it
    const act = { ...by, who: { kind: 'user', user, name: decision.name } } as const
    const expiresAt = seconds(clock.now() + lifetime)
    const wanted = { description: client, scopes, expiresAt }
    const { secret } = await tokens.createIn(transaction, user, wanted, act)
    return { kind: 'token', token: secret, expiresIn: lifetime }
  })
}

async function findPending(
  records: Pick<Transaction, 'get'>,
  typed: string,
  now: Seconds,
): Promise<[string, Login] | undefined> {
  const userCode = readUserCode(typed)
  const found = userCode && (await records.get(USER_CODE, userCode))
  const known = found && (await records.get(LOGIN, found.authorization))
  if (!found || !known || known.expiresAt <= now) return undefined
  return [found.authorization, known]
}
