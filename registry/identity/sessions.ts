/** Sessions of signed-in users: kept in the store, so that ending one is immediate everywhere. */
import type { Request, Response } from 'express'
import { z } from 'zod'
import { toBase64url, toHex, utf8 } from '../../crypto/bytes.ts'
import { sha256 } from '../../crypto/hash.ts'
import type { RegistryContext } from '../context.ts'
import type { UserId } from '../organizations.ts'
import { collection } from '../store/collection.ts'
import { cookies } from './cookies.ts'

const userId = z.string().length(26) as unknown as z.ZodType<UserId>

/** By the hash of the cookie's value: who reads the store cannot become anybody. */
const sessions = collection(
  'session',
  z.object({
    user: userId,
    /** Name of the provider that vouched: with another one configured, it is over. */
    issuer: z.string(),
    createdAt: z.number().int(),
    seenAt: z.number().int(),
    /** For ending the session at the identity provider too. */
    idToken: z.string().optional(),
  }),
)
export type Session = z.infer<typeof sessions.schema>

/** A session unused for so long is over. Seconds. */
export const IDLE_LIFETIME = 24 * 3600
/** A session is over so long after the sign-in, used or not. Seconds. */
export const ABSOLUTE_LIFETIME = 7 * 24 * 3600
/** How late `seenAt` may be, so that not every request writes. Seconds. */
const SEEN_PRECISION = 300

const COOKIE = 'nexodus-session'

export interface NewSession {
  readonly user: UserId
  /** Name of the provider. */
  readonly issuer: string
  readonly idToken?: string
}

export interface Sessions {
  /** Begins a session under a new id, and ends the one the request may have had. */
  begin(request: Request, response: Response, who: NewSession): Promise<void>
  find(request: Request): Promise<Session | undefined>
  /** Ends the request's session; what it was, if there was one. */
  end(request: Request, response: Response): Promise<Session | undefined>
  /** Ends all of a user's, wherever they are. */
  endAll(user: UserId): Promise<void>
  /** Deletes sessions that are over. */
  sweep(): Promise<void>
}

export function createSessions(context: RegistryContext, issuers: readonly string[]): Sessions {
  const { database, clock, randomBytes, publicUrl } = context
  const jar = cookies(publicUrl.startsWith('https:'))

  const keyOfRequest = (request: Request): string | undefined => {
    const value = jar.read(request, COOKIE)
    return value === undefined ? undefined : toHex(sha256(utf8(value)))
  }
  const remove = (key: string) =>
    database.transact(`session/${key}`, async (transaction) => {
      const session = await transaction.get(sessions, key)
      transaction.delete(sessions, key)
      return session
    })
  const removeAll = async (isMeant: (session: Session) => boolean): Promise<void> => {
    for await (const { id, value } of database.list(sessions)) if (isMeant(value)) await remove(id)
  }
  const find = async (request: Request): Promise<Session | undefined> => {
    const key = keyOfRequest(request)
    const session = key && (await database.get(sessions, key))
    if (!key || !session || !issuers.includes(session.issuer)) return undefined
    if (isOver(session, clock.now())) return undefined
    if (clock.now() - session.seenAt > SEEN_PRECISION) {
      await database.transact(`session/${key}`, async (transaction) => {
        const current = await transaction.get(sessions, key)
        if (current) transaction.put(sessions, key, { ...current, seenAt: clock.now() })
      })
    }
    return session
  }
  return {
    find,
    async begin(request, response, { user, issuer, idToken }) {
      const before = keyOfRequest(request)
      if (before !== undefined) await remove(before)
      const value = toBase64url(randomBytes(32))
      const now = clock.now()
      await database.transact(`session/${user}`, async (transaction) => {
        const session = { user, issuer, createdAt: now, seenAt: now, ...(idToken && { idToken }) }
        transaction.put(sessions, toHex(sha256(utf8(value))), session)
      })
      jar.set(response, COOKIE, value, ABSOLUTE_LIFETIME)
    },
    async end(request, response) {
      const key = keyOfRequest(request)
      jar.clear(response, COOKIE)
      return key === undefined ? undefined : await remove(key)
    },
    endAll: (user) => removeAll((session) => session.user === user),
    sweep: () => removeAll((session) => isOver(session, clock.now())),
  }
}

function isOver({ createdAt, seenAt }: Session, now: number): boolean {
  return now - seenAt >= IDLE_LIFETIME || now - createdAt >= ABSOLUTE_LIFETIME
}
