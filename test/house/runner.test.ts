// time limit: 180 s
/** The test runner on fixture files: every way in which uvu would be silent about a test that did not pass. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type TempDir, tempDir } from '../support/temp-dir.ts'
import { FAILS, HOLES, PASSES, PASSES_AT_LAST, PASSES_LATER } from './holes.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const RUNNER = join(ROOT, 'test/run.ts')
const NEEDS = join(ROOT, 'test/support/needs.ts')

interface Run {
  readonly status: number | null
  readonly output: string
  readonly lines: readonly string[]
  readonly closing: string
}

async function house(files: Record<string, string>): Promise<TempDir> {
  const folder = await tempDir()
  await symlink(join(ROOT, 'node_modules'), join(folder.path, 'node_modules'))
  await folder.write({ 'package.json': '{"type":"module"}', ...files })
  return folder
}

function start(folder: TempDir, environment: Record<string, string> = {}, ...filters: string[]) {
  const { REQUIRE_ALL: _, MAY_SKIP: __, RUN_AGAIN: ___, ...rest } = process.env
  return spawn(process.execPath, [RUNNER, '--in', folder.path, ...filters], {
    env: { ...rest, ...environment },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
}

async function runIn(
  folder: TempDir,
  environment?: Record<string, string>,
  ...filters: string[]
): Promise<Run> {
  const child = start(folder, environment, ...filters)
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    output += chunk
  })
  await once(child, 'close')
  const lines = output.trimEnd().split('\n')
  return { status: child.exitCode, output, lines, closing: lines.at(-1) ?? '' }
}

/** Runs the one file `test/a.test.ts`. */
async function runOne(source: string, environment?: Record<string, string>): Promise<Run> {
  await using folder = await house({ 'test/a.test.ts': source })
  return await runIn(folder, environment)
}

function has(run: Run, pattern: RegExp): void {
  assert.ok(
    run.lines.some((line) => pattern.test(line)),
    `no line like ${pattern} in:\n${run.output}`,
  )
}

const rule = suite('test runner')

rule('runs a failed file again where that is wanted, and says so when it then passes', async () => {
  const strict = await runOne(PASSES_LATER)
  assert.is(strict.closing, '0 passed, 1 failed, 0 skipped')
  const again = await runOne(PASSES_LATER, { RUN_AGAIN: '1' })
  assert.is(again.status, 0, again.output)
  assert.equal(again.lines.slice(-2), [
    'passed at its second run only: test/a.test.ts',
    '1 passed, 0 failed, 0 skipped',
  ])
  has(again, /^FAIL test\/a\.test\.ts {2}0 passed, 1 failed/)
  const last = await runOne(PASSES_AT_LAST, { RUN_AGAIN: '1' })
  assert.is(last.status, 0, last.output)
  has(last, /^passed at its third run only: test\/a\.test\.ts$/)
  const failing = await runOne(FAILS, { RUN_AGAIN: '1' })
  assert.is(failing.status, 1)
  assert.is(failing.lines.filter((line) => line.startsWith('FAIL test/a.test.ts')).length, 4)
})

rule('runs nothing again when more files failed than may', async () => {
  await using folder = await house({ 'test/a.test.ts': FAILS, 'test/b.test.ts': FAILS })
  const run = await runIn(folder, { RUN_AGAIN: '1' })
  assert.is(run.closing, '0 passed, 2 failed, 0 skipped')
  assert.not.match(run.output, /run again/)
})

rule(
  'sums up the tests of all files in its last line, and ends with 0 when all passed',
  async () => {
    await using folder = await house({ 'test/a.test.ts': PASSES, 'test/b/c.test.ts': PASSES })
    const run = await runIn(folder)
    assert.is(run.closing, '2 passed, 0 failed, 0 skipped')
    assert.is(run.status, 0)
    has(run, /^ok {3}test\/a\.test\.ts {2}1 passed, \d+\.\d s$/)
    has(run, /^ok {3}test\/b\/c\.test\.ts {2}1 passed, \d+\.\d s$/)
  },
)

rule('shows what a failing file printed, and of a passing file nothing', async () => {
  await using folder = await house({
    'test/bad.test.ts': `import { test } from 'uvu'
test('is not', () => { console.log('what bad printed'); throw new Error('the reason') })
test('is', () => {})
test.run()`,
    'test/good.test.ts': `console.log('what good printed')\n${PASSES}`,
  })
  const run = await runIn(folder)
  assert.is(run.closing, '2 passed, 1 failed, 0 skipped')
  assert.is(run.status, 1)
  has(run, /^FAIL test\/bad\.test\.ts {2}1 passed, 1 failed, /)
  assert.is(run.lines.at(-3), 'FAIL test/bad.test.ts', 'said again where a reader looks first')
  assert.is(run.lines.at(-2), '  FAIL  "is not": the reason')
  assert.match(run.output, 'what bad printed')
  assert.match(run.output, 'the reason')
  assert.not.match(run.output, 'what good printed')
})

for (const [hole, { source, fault, closing }] of Object.entries(HOLES)) {
  rule(`fails a file where ${hole}`, async () => {
    const run = await runOne(source)
    has(run, new RegExp(`^FAIL test/a\\.test\\.ts .*${fault.source}`))
    assert.is(run.closing, closing)
    assert.is(run.status, 1)
  })
}

const NEEDY = `import { needs } from '${NEEDS}'
import { test } from 'uvu'
needs('kernel-wireguard', 'root')
test('a', () => {})
test.run()`
/** Where nothing is found and nobody is root, on any machine. */
const NOTHING = { PATH: '/nowhere' }

rule('counts a file whose needs are not met as one skip, and says what is missing', async () => {
  const run = await runOne(NEEDY, NOTHING)
  has(run, /^SKIP test\/a\.test\.ts: needs kernel-wireguard \(a kernel with the wireguard module/)
  assert.is(run.closing, '0 passed, 0 failed, 1 skipped')
  assert.is(run.status, 0)
})

rule('fails a skipped file where all is required', async () => {
  const run = await runOne(NEEDY, { ...NOTHING, REQUIRE_ALL: '1' })
  has(run, /^FAIL test\/a\.test\.ts .*skipped, but all is required: needs kernel-wireguard/)
  assert.is(run.closing, '0 passed, 1 failed, 0 skipped')
  assert.is(run.status, 1)
})

rule('lets a file go whose every missing need may be missing', async () => {
  const may = { ...NOTHING, REQUIRE_ALL: '1', MAY_SKIP: 'kernel-wireguard,root' }
  assert.is((await runOne(NEEDY, may)).closing, '0 passed, 0 failed, 1 skipped')
  const two = NEEDY.replace("'root'", "'chromium'")
  const run = await runOne(two, { ...may, PATH: '/nowhere' })
  // chromium is looked for in the system's own folders, too: where it is, only one need is missing.
  has(run, /needs kernel-wireguard/)
})

rule('counts tests marked as skipped, by name', async () => {
  const run = await runOne(`import { test } from 'uvu'
test.skip('not yet', () => {})
test('is', () => {})
test.run()`)
  has(run, /^SKIP test\/a\.test\.ts: "not yet" is marked as skipped$/)
  assert.is(run.closing, '1 passed, 0 failed, 1 skipped')
  assert.is(run.status, 0)
})

rule('counts tests left out by .only as skipped', async () => {
  const run = await runOne(`import { test } from 'uvu'
test('a', () => {})
test.only('b', () => {})
test.run()`)
  has(run, /^SKIP test\/a\.test\.ts: left out by \.only$/)
  assert.is(run.closing, '1 passed, 0 failed, 1 skipped')
})

rule('runs the files asked for, and fails where there is none', async () => {
  await using folder = await house({ 'test/one.test.ts': PASSES, 'test/two.test.ts': PASSES })
  const one = await runIn(folder, {}, 'one')
  assert.is(one.closing, '1 passed, 0 failed, 0 skipped')
  assert.not.match(one.output, 'two.test.ts')
  const none = await runIn(folder, {}, 'three')
  assert.is(none.closing, '0 passed, 1 failed, 0 skipped')
  assert.is(none.status, 1)
})

rule(
  'runs laboratories beside each other, and files marked as serial alone at the end',
  async () => {
    const timed = (mark: string) => `${mark}
import { test } from 'uvu'
import { appendFileSync } from 'node:fs'
test('a', async () => {
  appendFileSync('order', 'begin\\n')
  await new Promise((resolve) => setTimeout(resolve, 3000))
  appendFileSync('order', 'end\\n')
})
test.run()`
    await using folder = await house({
      'test/a.test.ts': timed('// serial'),
      'test/lab/b.test.ts': timed(''),
      'test/lab/c.test.ts': timed(''),
      'test/z.test.ts': PASSES,
    })
    const run = await runIn(folder)
    assert.is(run.closing, '4 passed, 0 failed, 0 skipped')
    const order = run.lines
      .filter((line) => line.startsWith('ok'))
      .map((line) => line.split(/\s+/)[1])
    assert.is(order[0], 'test/z.test.ts')
    assert.is(order.at(-1), 'test/a.test.ts')
    const happened = readFileSync(join(folder.path, 'order'), 'utf8').trim().split('\n')
    assert.equal(happened, ['begin', 'begin', 'end', 'end', 'begin', 'end'])
  },
)

rule('ends what runs when it is interrupted', async () => {
  await using folder = await house({
    'test/a.test.ts': `import { test } from 'uvu'
import { writeFileSync } from 'node:fs'
test('a', async () => {
  writeFileSync('pid', String(process.pid))
  await new Promise((resolve) => setTimeout(resolve, 600_000))
})
test.run()`,
  })
  const child = start(folder)
  const pidFile = join(folder.path, 'pid')
  while (!existsSync(pidFile) || readFileSync(pidFile, 'utf8') === '') await sleep(20)
  child.kill('SIGINT')
  const [status] = await once(child, 'exit')
  assert.is(status, 130)
  assert.throws(() => process.kill(Number(readFileSync(pidFile, 'utf8')), 0), /ESRCH/)
})

rule.run()
