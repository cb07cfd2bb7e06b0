/** Test files that must fail, though uvu alone would be silent about most of them. */

interface Hole {
  readonly source: string
  /** What the runner says about the file. */
  readonly fault: RegExp
  readonly closing: string
}

/** One test that passes. */
export const PASSES = "import { test } from 'uvu'\ntest('is', () => {})\ntest.run()\n"

/** One test that fails. */
export const FAILS = `import { test } from 'uvu'
import * as assert from 'uvu/assert'
test('adds', () => assert.is(1 + 1, 3))
test.run()
`

/** One test that passes the second time it is run. */
export const PASSES_LATER = failingFirst(1)
export const PASSES_AT_LAST = failingFirst(2)

function failingFirst(times: number): string {
  return `import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import { test } from 'uvu'
test('is there', () => {
  if (existsSync('before') && readFileSync('before').length === ${times}) return
  appendFileSync('before', '.')
  throw new Error('not yet')
})
test.run()
`
}

/** By what is wrong with the file. */
export const HOLES: Readonly<Record<string, Hole>> = {
  'a before hook throws': {
    source: `import { test } from 'uvu'
test.before(() => { throw new Error('no') })
test('a', () => {})
test('b', () => {})
test.run()`,
    fault: /a hook threw/,
    closing: '0 passed, 2 failed, 0 skipped',
  },
  'a before hook throws where another test is skipped': {
    source: `import { test } from 'uvu'
test.before(() => { throw new Error('no') })
test('a', () => {})
test.skip('b', () => {})
test.run()`,
    fault: /a hook threw/,
    closing: '0 passed, 1 failed, 1 skipped',
  },
  'an after hook throws': {
    source: `import { test } from 'uvu'
test.after(() => { throw new Error('no') })
test('a', () => {})
test.run()`,
    fault: /ended with 1 before its tests did/,
    closing: '0 passed, 1 failed, 0 skipped',
  },
  'a hook after each test throws': {
    source: `import { test } from 'uvu'
test.after.each(() => { throw new Error('no') })
test('a', () => {})
test('b', () => {})
test.run()`,
    fault: /a hook threw/,
    closing: '0 passed, 2 failed, 0 skipped',
  },
  'run() is forgotten': {
    source: "import { test } from 'uvu'\ntest('a', () => {})",
    fault: /1 tests never ran/,
    closing: '0 passed, 1 failed, 0 skipped',
  },
  'run() is forgotten in one suite of two': {
    source: `import { suite } from 'uvu'
const a = suite('a'), b = suite('b')
a('one', () => {})
b('two', () => {})
b('three', () => {})
a.run()`,
    fault: /2 tests never ran/,
    closing: '1 passed, 2 failed, 0 skipped',
  },
  'a test is declared after run()': {
    source: `${PASSES}test('late', () => {})`,
    fault: /1 tests never ran/,
    closing: '1 passed, 1 failed, 0 skipped',
  },
  'there is no test': {
    source: "import { test } from 'uvu'\ntest.run()",
    fault: /ran no test/,
    closing: '0 passed, 1 failed, 0 skipped',
  },
  'there is nothing': {
    source: '',
    fault: /ran no test/,
    closing: '0 passed, 1 failed, 0 skipped',
  },
  'a module is missing': {
    source: `import './nowhere.ts'\n${PASSES}`,
    fault: /ended with 1 before its tests did/,
    closing: '0 passed, 1 failed, 0 skipped',
  },
  'it ends in the middle of a test': {
    source: "import { test } from 'uvu'\ntest('a', () => { process.exit(0) })\ntest.run()",
    fault: /before its tests did/,
    closing: '0 passed, 1 failed, 0 skipped',
  },
  'a test waits for ever for nothing': {
    source: "import { test } from 'uvu'\ntest('a', () => new Promise(() => {}))\ntest.run()",
    fault: /before its tests did/,
    closing: '0 passed, 1 failed, 0 skipped',
  },
  'something fails after the last test': {
    source: `import { test } from 'uvu'
test('a', () => { setTimeout(() => { throw new Error('late') }, 100) })
test.run()`,
    fault: /ended with 1 though its tests passed/,
    closing: '1 passed, 1 failed, 0 skipped',
  },
  'it hangs': {
    source: `// time limit: 1 s
import { test } from 'uvu'
test('a', () => new Promise((resolve) => setTimeout(resolve, 600_000)))
test.run()`,
    fault: /still running after 1 s/,
    closing: '0 passed, 1 failed, 0 skipped',
  },
  'it leaves a process running': {
    source: `import { spawn } from 'node:child_process'
import { test } from 'uvu'
test('a', () => { spawn('sleep', ['600'], { stdio: 'ignore' }).unref() })
test.run()`,
    fault: /left processes running/,
    closing: '1 passed, 1 failed, 0 skipped',
  },
  'it prints a summary it did not earn': {
    source: `import { test } from 'uvu'
console.log('\\n  Total:     9\\n  Passed:    9\\n  Skipped:   0')
test('a', () => { throw new Error('no') })
test.run()`,
    fault: /1 failed/,
    closing: '0 passed, 1 failed, 0 skipped',
  },
}
