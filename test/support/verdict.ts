/** What a test file's output and end mean: counts, skips with their reason, and faults uvu is silent about. */

/** Printed by needs.ts; the file then ends without tests, on purpose. */
export const SKIP_MARK = '@@skip '
/** Printed by watched-uvu.ts for a test marked as skipped. */
export const SKIPPED_TEST_MARK = '@@skipped-test '
/** Printed by watched-uvu.ts at the end: how many tests were declared, run or not. */
export const DECLARED_MARK = '@@declared '

export interface Skip {
  /** What was missing; empty for a test marked as skipped. */
  readonly needs: readonly string[]
  readonly reason: string
}

export interface Ending {
  readonly output: string
  /** Exit code, or the name of the signal that ended it. */
  readonly status: number | string
  readonly limitSeconds: number
  readonly isLate: boolean
  /** Processes it started were still there after it. */
  readonly hasLeftovers: boolean
}

export interface Verdict {
  readonly passed: number
  readonly failed: number
  readonly skips: readonly Skip[]
  /** What is wrong besides failed tests: a hang, a crash, tests that never ran. */
  readonly fault: string | undefined
}

export function verdictOf(ending: Ending): Verdict {
  const counts = countsIn(ending.output)
  const skips = skipsIn(ending.output, counts)
  const fault = faultOf(ending, counts, skips)
  const short = counts.declared - counts.skipped - counts.passed
  return {
    passed: counts.passed,
    failed: Math.max(counts.total - counts.passed, fault === undefined ? 0 : Math.max(short, 1)),
    skips,
    fault,
  }
}

/** The failed tests in uvu's output, with the first line of what was thrown. */
export function failuresIn(output: string): string[] {
  return [...output.matchAll(/^ {3}(FAIL .*)\n(?: *\n)*(.*)$/gm)].map(
    ([, test = '', reason = '']) => `  ${test}: ${reason.trim()}`,
  )
}

interface Counts {
  /** Tests of the suites that were run; without skipped ones. */
  readonly total: number
  readonly passed: number
  readonly skipped: number
  readonly declared: number
}

/** uvu prints one summary at the end of a process: the last that looks like it. */
function countsIn(output: string): Counts {
  const summaries = output.matchAll(
    /^ {2}Total: +(\d+)\n {2}Passed: +(\d+)\n {2}Skipped: +(\d+)$/gm,
  )
  const [, total = 0, passed = 0, skipped = 0] = [...summaries].at(-1) ?? []
  const declared = marked(output, DECLARED_MARK).at(-1) ?? 0
  return {
    total: Number(total),
    passed: Number(passed),
    skipped: Number(skipped),
    declared: Number(declared),
  }
}

function skipsIn(output: string, { skipped }: Counts): Skip[] {
  const files = marked(output, SKIP_MARK).map((text) => JSON.parse(text) as Skip)
  const named = marked(output, SKIPPED_TEST_MARK).map((name) => `"${name}" is marked as skipped`)
  const others = Array.from({ length: skipped - named.length }, () => 'left out by .only')
  return [...files, ...[...named, ...others].map((reason) => ({ needs: [], reason }))]
}

function marked(output: string, mark: string): string[] {
  return output
    .split('\n')
    .filter((line) => line.startsWith(mark))
    .map((line) => line.slice(mark.length))
}

function faultOf(ending: Ending, counts: Counts, skips: readonly Skip[]): string | undefined {
  const { status, isLate, limitSeconds } = ending
  const { total, passed, skipped, declared } = counts
  if (isLate) return `still running after ${limitSeconds} s`
  if (total === 0 && status !== 0) return `ended with ${status} before its tests did`
  if (total === 0 && skips.some(({ needs }) => needs.length > 0)) return undefined
  if (total + skipped < declared) {
    return `${declared - total - skipped} tests never ran (a suite without .run(), or tests after it)`
  }
  if (total === 0) return 'ran no test'
  if (passed < total) return status === 0 ? 'a hook threw; uvu does not say which' : undefined
  if (status !== 0) return `ended with ${status} though its tests passed`
  return ending.hasLeftovers ? 'left processes running (they were killed)' : undefined
}
