/** A lock against guessing: after some wrong guesses nothing more is looked up for a while. In the store: who
 *  goes from one registry to another guesses no more often. */
import { z } from 'zod'
import type { Clock } from '../protocol/clock.ts'
import type { Seconds } from '../protocol/time.ts'
import { ProblemError } from './problem.ts'
import { collection } from './store/collection.ts'
import type { Database } from './store/database.ts'

/** By user: so there are no more of them than users. */
const WRONG_GUESSES = collection(
  'wrong-guesses',
  z.strictObject({ count: z.int().positive(), until: z.int() }),
)

export interface GuessLimits {
  readonly wrong: number
  /** Wrong guesses are forgotten, and the lock opens, so long after the first. Seconds. */
  readonly seconds: number
}

export interface GuessLock {
  /** Throws a 429 problem while `user` is locked out. */
  check(user: string): Promise<void>
  /** Resolves when it counts at every registry of the store. */
  wrong(user: string): Promise<void>
}

export interface GuessLockParts {
  readonly database: Database
  readonly clock: Pick<Clock, 'now'>
}

export function openGuessLock(
  { database, clock }: GuessLockParts,
  { wrong, seconds }: GuessLimits,
): GuessLock {
  return {
    async check(user) {
      const known = await database.get(WRONG_GUESSES, user)
      const now = clock.now()
      if (known === undefined || known.until <= now || known.count < wrong) return
      const left = Math.ceil((known.until - now) / 60)
      throw new ProblemError(
        429,
        'guessing-locked',
        `${known.count} wrong codes: wait ${left} ${left === 1 ? 'minute' : 'minutes'} before you try another`,
      )
    },
    async wrong(user) {
      const now = clock.now()
      await database.transact(`wrong-guesses/${user}`, async (transaction) => {
        const known = await transaction.get(WRONG_GUESSES, user)
        const { count, until } =
          known !== undefined && known.until > now ? known : { count: 0, until: now + seconds }
        transaction.put(WRONG_GUESSES, user, { count: count + 1, until })
      })
    },
  }
}

/** Deletes what locks nobody any more. */
export async function forgetGuesses(database: Database, now: Seconds): Promise<void> {
  for await (const { id, value } of database.list(WRONG_GUESSES)) {
    if (value.until > now) continue
    await database.transact(`wrong-guesses/${id}`, async (transaction) => {
      const known = await transaction.get(WRONG_GUESSES, id)
      if (known !== undefined && known.until <= now) transaction.delete(WRONG_GUESSES, id)
    })
  }
}
