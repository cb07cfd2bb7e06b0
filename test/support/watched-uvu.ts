/** uvu, counting what is declared: of a forgotten `.run()` uvu itself knows nothing. */
import { type Callback, type Context, type Test, exec as uvuExec, suite as uvuSuite } from 'uvu'
import { DECLARED_MARK, SKIPPED_TEST_MARK } from './verdict.ts'

let declared = 0
const skipped: string[] = []

process.on('exit', () => {
  for (const name of skipped) process.stdout.write(`${SKIPPED_TEST_MARK}${name}\n`)
  process.stdout.write(`${DECLARED_MARK}${declared}\n`)
})

function watched<T>(test: Test<T>): Test<T> {
  const declare = (name: string, callback: Callback<T>): void => {
    declared += 1
    test(name, callback)
  }
  return Object.assign(declare, {
    before: test.before,
    after: test.after,
    only(name: string, callback: Callback<T>) {
      declared += 1
      test.only(name, callback)
    },
    skip(name?: string, callback?: Callback<T>) {
      declared += 1
      skipped.push(name ?? 'a test without a name')
      test.skip(name, callback)
    },
    run: () => test.run(),
  })
}

export function suite<T = Context>(name?: string, context?: T): Test<T> {
  return watched(uvuSuite(name, context))
}

export const test: Test = suite()
export const exec = uvuExec
