/** The test runner: every `*.test.ts` below test/ in a process of its own, two at a time.
 *
 *    node test/run.ts [part of a file's name …]
 *
 *  With REQUIRE_ALL=1 a skipped file fails the run, except for needs named in MAY_SKIP (commas). */
import { readFileSync } from 'node:fs'
import { glob } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { type FileResult, isSerial, runFile } from './support/run-file.ts'

const ROOT = new URL('..', import.meta.url).pathname
process.chdir(ROOT)

const wanted = process.argv.slice(2)
const files = (await Array.fromAsync(glob('test/**/*.test.ts')))
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
  .toSorted()
if (files.length === 0) {
  process.stderr.write(`no test file matches ${wanted.join(' ')}\n`)
  process.exit(1)
}
const serial = files.filter((file) => isSerial(file, readFileSync(file, 'utf8')))
const parallel = files.filter((file) => !serial.includes(file))
process.stdout.write(`running ${files.length} test files, ${serial.length} of them alone\n`)

const results: FileResult[] = []

async function work(queue: string[]): Promise<void> {
  for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
    const result = await runFile(file)
    results.push(result)
    report(result)
  }
}

function report({ file, passed, failed, skipped, seconds, output, fault }: FileResult): void {
  const verdict = failed > 0 ? 'FAIL' : passed === 0 && skipped.length > 0 ? 'SKIP' : 'ok  '
  process.stdout.write(
    `${verdict} ${file}  ${passed} passed, ${seconds.toFixed(1)} s${fault === undefined ? '' : `: ${fault}`}\n`,
  )
  for (const reason of skipped) process.stdout.write(`     skipped: ${reason}\n`)
  if (failed > 0) process.stdout.write(`${output.trimEnd()}\n---- end of ${file}\n`)
}

const queue = [...parallel]
await Promise.all(Array.from({ length: Math.min(2, availableParallelism()) }, () => work(queue)))
await work([...serial])

const sum = (pick: (result: FileResult) => number): number =>
  results.reduce((total, result) => total + pick(result), 0)
const mayNot = (process.env['MAY_SKIP'] ?? '').split(',').filter((need) => need !== '')
const forbidden = results.flatMap(({ file, skipped }) =>
  skipped
    .filter((reason) => !mayNot.some((need) => reason.startsWith(`needs ${need} `)))
    .map((reason) => `${file}: ${reason}`),
)
const isStrict = process.env['REQUIRE_ALL'] === '1'
if (isStrict)
  for (const each of forbidden) process.stdout.write(`FAIL skipped where it must run: ${each}\n`)
const failed = sum((result) => result.failed) + (isStrict ? forbidden.length : 0)
process.stdout.write(
  `${sum(({ passed }) => passed)} passed, ${failed} failed, ${sum(({ skipped }) => skipped.length)} skipped\n`,
)
process.exit(failed > 0 ? 1 : 0)
