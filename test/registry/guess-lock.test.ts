import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { seconds } from '../../protocol/time.ts'
import { openGuessLock } from '../../registry/guess-lock.ts'
import { openPollPace } from '../../registry/poll-pace.ts'

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

const isLocked = (lock: ReturnType<typeof openGuessLock>, guesser: string) => {
  try {
    lock.check(guesser)
    return false
  } catch (error) {
    return (error as { code?: string }).code === 'guessing-locked'
  }
}

rule('locks after so many wrong guesses of one guesser, until their time has passed', () => {
  const clock = clockAt()
  const lock = openGuessLock(clock, { wrong: 3, seconds: 60, guessers: 10 })
  for (let count = 0; count < 3; count++) {
    assert.not.ok(isLocked(lock, 'ada'))
    lock.wrong('ada')
  }
  assert.ok(isLocked(lock, 'ada'))
  assert.not.ok(isLocked(lock, 'bob'))
  clock.advance(59)
  assert.ok(isLocked(lock, 'ada'))
  clock.advance(1)
  assert.not.ok(isLocked(lock, 'ada'))
})

rule('remembers no more guessers than it says', () => {
  const lock = openGuessLock(clockAt(), { wrong: 1, seconds: 60, guessers: 2 })
  for (const guesser of ['a', 'b', 'c']) lock.wrong(guesser)
  assert.equal(
    ['a', 'b', 'c'].map((each) => isLocked(lock, each)),
    [false, true, true],
  )
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
