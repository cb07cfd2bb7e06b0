import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { randomBytes } from '../../crypto/random.ts'
import { seconds } from '../../protocol/time.ts'
import { forgetGuesses, type GuessLock, openGuessLock } from '../../registry/guess-lock.ts'
import { openPollPace } from '../../registry/poll-pace.ts'
import { ALL_RECORDS } from '../../registry/store/copy.ts'
import { type Database, openDatabase } from '../../registry/store/database.ts'
import { openLevelStore } from '../../registry/store/level-store.ts'
import { systemClock } from '../../registry/system-clock.ts'
import { temporaryDirectory } from '../support/registry.ts'

const rule = suite('guess lock and poll pace')

function clockAt() {
  let ms = 0
  return {
    monotonicMs: () => ms,
    advance(by: number) {
      ms += by * 1000
    },
  }
}

/** Two registries on one store. */
async function twoLocks(wrong: number) {
  const store = await openLevelStore(await temporaryDirectory())
  let now = seconds(1_000_000)
  const clock = { now: () => now }
  const databases = [0, 1].map(() => openDatabase(store, { clock: systemClock, randomBytes }))
  const locks = databases.map((database) =>
    openGuessLock({ database, clock }, { wrong, seconds: 60 }),
  )
  const at = (index: number) => locks[index % 2] as GuessLock
  return {
    at,
    isLocked: async (guesser: string) => {
      const seen = await Promise.all(locks.map((lock) => codeOf(lock.check(guesser))))
      assert.is(seen[0], seen[1])
      return seen[0] === 'guessing-locked'
    },
    advance: (by: number) => {
      now = seconds(now + by)
    },
    forget: () => forgetGuesses(databases[0] as Database, now),
    records: async () => {
      let count = 0
      for await (const _ of store.list(ALL_RECORDS)) count++
      return count
    },
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  }
}

const codeOf = (promise: Promise<void>) =>
  promise.then(
    () => undefined,
    (error: { code?: string }) => error.code,
  )

rule('locks after so many wrong guesses of one user, until their time has passed', async () => {
  await using scene = await twoLocks(3)
  for (let count = 0; count < 3; count++) {
    assert.not.ok(await scene.isLocked('ada'))
    await scene.at(0).wrong('ada')
  }
  assert.ok(await scene.isLocked('ada'))
  assert.not.ok(await scene.isLocked('bob'))
  scene.advance(59)
  assert.ok(await scene.isLocked('ada'))
  scene.advance(1)
  assert.not.ok(await scene.isLocked('ada'))
  await scene.at(0).wrong('ada')
  assert.not.ok(await scene.isLocked('ada'), 'counted anew')
})

rule('who spreads over several registries has no more guesses than at one', async () => {
  await using scene = await twoLocks(3)
  await Promise.all([0, 1, 0].map((index) => scene.at(index).wrong('ada')))
  assert.ok(await scene.isLocked('ada'))
})

rule('forgets who is locked no more, and nobody else', async () => {
  await using scene = await twoLocks(1)
  await scene.at(0).wrong('ada')
  scene.advance(30)
  await scene.at(1).wrong('bob')
  scene.advance(30)
  await scene.forget()
  assert.is(await scene.records(), 1)
  assert.ok(await scene.isLocked('bob'))
  scene.advance(30)
  await scene.forget()
  assert.is(await scene.records(), 0)
})

rule('who asks too soon must ask more slowly from then on (RFC 8628 §3.5)', () => {
  const clock = clockAt()
  const pace = openPollPace(clock)
  const after = (by: number) => {
    clock.advance(by)
    return pace.isInPace('x', 900)
  }
  assert.equal(
    [after(0), after(2), after(1), after(2), after(7), after(12)],
    [true, true, false, false, false, false],
  )
  assert.ok(after(60))
  pace.forgetExpired(seconds(900))
  assert.ok(after(0))
})

rule.run()
