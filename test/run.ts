/** The test runner: every `*.test.ts` below test/ in a process of its own, two at a time.
 *
 *    node test/run.ts [part of a file's name …]      the files whose name contains one of these
 *    node test/run.ts --in <folder> …                the files of another folder's test/
 *
 *  In a file's first five lines, `// time limit: 300 s` asks for more than 180 s, and `// serial` to run alone, at the
 *  end. Files of a lab/ run beside each other only. With REQUIRE_ALL=1 a skip is a failure, save for the needs in
 *  MAY_SKIP (commas).
 *  With RUN_AGAIN=3 up to three failed files are run again, alone, twice at most, and those that pass are named at the
 *  end: for shared machines, where a rule about time may fail for want of processor time. More failed files are no
 *  accident. */
import { glob, readFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { type Company, company, endRunning, type FileResult, runFile } from './support/run-file.ts'
import { failuresIn, type Skip } from './support/verdict.ts'

const AT_ONCE = 2

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { in: { type: 'string', default: new URL('..', import.meta.url).pathname } },
})
process.chdir(values.in)
const isStrict = process.env['REQUIRE_ALL'] === '1'
const runAgain = Number(process.env['RUN_AGAIN'] ?? 0)
const maySkip = (process.env['MAY_SKIP'] ?? '').split(',')

const results: FileResult[] = []
/** Files that passed when they were run again, and at which run. */
const unsteady = new Map<string, 'second' | 'third'>()
/** Exit status once a signal has come. */
let stopped: number | undefined

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

async function filesWanted(): Promise<string[]> {
  const files = await Array.fromAsync(glob('test/**/*.test.ts'))
  return files
    .filter((file) => positionals.length === 0 || positionals.some((part) => file.includes(part)))
    .toSorted()
}

async function work(queue: string[]): Promise<void> {
  for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
    if (stopped !== undefined) return
    const result = judged(await runFile(file))
    results.push(result)
    report(result)
  }
}

async function workAgain(): Promise<void> {
  if (results.filter((result) => result.failed > 0).length > runAgain) return
  for (const time of ['second', 'third'] as const) {
    for (const before of results.filter((result) => result.failed > 0)) {
      if (stopped !== undefined) return
      say(`run again: ${before.file}`)
      const again = judged(await runFile(before.file))
      report(again)
      if (again.failed > 0) continue
      results[results.indexOf(before)] = again
      unsteady.set(before.file, time)
    }
  }
}

/** Where all is required, a skip becomes a failure. */
function judged(result: FileResult): FileResult {
  const forbidden = result.skips.filter((skip) => isStrict && !isExempt(skip))
  if (forbidden.length === 0) return result
  return {
    ...result,
    failed: result.failed + forbidden.length,
    skips: result.skips.filter((skip) => !forbidden.includes(skip)),
    fault: `skipped, but all is required: ${forbidden.map(({ reason }) => reason).join('; ')}`,
  }
}

function isExempt({ needs }: Skip): boolean {
  return needs.length > 0 && needs.every((need) => maySkip.includes(need))
}

function report({ file, passed, failed, skips, seconds, output, fault }: FileResult): void {
  const verdict = failed > 0 ? 'FAIL' : passed > 0 ? 'ok  ' : 'SKIP'
  const counts = `${passed} passed${failed > 0 ? `, ${failed} failed` : ''}`
  if (verdict !== 'SKIP') {
    say(
      `${verdict} ${file}  ${counts}, ${seconds.toFixed(1)} s${fault === undefined ? '' : `: ${fault}`}`,
    )
  }
  for (const { reason } of skips) say(`SKIP ${file}: ${reason}`)
  if (failed > 0) say(`${output.trimEnd()}\n---- end of what ${file} printed`)
}

function sum(pick: (result: FileResult) => number): number {
  return results.reduce((total, result) => total + pick(result), 0)
}

for (const [signal, status] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  process.once(signal, () => {
    say(`stopped by ${signal}: ending what runs`)
    stopped = status
    void endRunning()
  })
}

const files = await filesWanted()
const queues: Record<Company, string[]> = { any: [], laboratories: [], none: [] }
for (const file of files) queues[company(file, await readFile(file, 'utf8'))].push(file)
const { any, laboratories, none } = queues
say(
  `${files.length} test files: ${any.length} and then ${laboratories.length} of the laboratories two at a time, ${none.length} alone`,
)

for (const queue of [any, laboratories]) {
  await Promise.all(Array.from({ length: AT_ONCE }, () => work(queue)))
}
await work(none)
await workAgain()

for (const result of results) {
  if (result.failed > 0) say([`FAIL ${result.file}`, ...failuresIn(result.output)].join('\n'))
}
for (const [file, time] of unsteady) say(`passed at its ${time} run only: ${file}`)
if (files.length === 0) say(`no test file matches: ${positionals.join(' ')}`)
const failed = sum((result) => result.failed) + (files.length === 0 ? 1 : 0)
say(
  `${sum(({ passed }) => passed)} passed, ${failed} failed, ${sum(({ skips }) => skips.length)} skipped`,
)
process.exit(stopped ?? (failed > 0 ? 1 : 0))
