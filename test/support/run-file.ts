/** One test file in a process of its own: what came of it, with uvu's known holes closed. */
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'

export interface FileResult {
  readonly file: string
  readonly passed: number
  readonly failed: number
  /** Why, one line a skip. */
  readonly skipped: readonly string[]
  readonly seconds: number
  /** Everything it printed; shown where it failed. */
  readonly output: string
  /** What is wrong besides failed tests: a hang, a crash, no tests. */
  readonly fault: string | undefined
}

/** A file that needs longer says so in its first five lines: `// time limit: 300 s`. */
const DEFAULT_LIMIT_SECONDS = 60
/** Printed by needs.ts; the file then ends without tests, on purpose. */
export const SKIP_MARK = '@@skip '

export function declaredLimit(source: string): number {
  const head = source.split('\n').slice(0, 5).join('\n')
  return Number(/^\/\/ time limit: (\d+) s$/m.exec(head)?.[1] ?? DEFAULT_LIMIT_SECONDS)
}

/** Must it run alone? It says `// serial` in its first five lines, or lies in a laboratory. */
export function isSerial(file: string, source: string): boolean {
  return (
    /(^|\/)lab\//.test(file) || /^\/\/ serial$/m.test(source.split('\n').slice(0, 5).join('\n'))
  )
}

export async function runFile(file: string): Promise<FileResult> {
  const limit = declaredLimit(readFileSync(file, 'utf8'))
  const started = performance.now()
  const { output, status, isLate } = await collect(file, limit)
  const seconds = (performance.now() - started) / 1000
  const counted = count(output)
  const skipped = [...output.matchAll(/^@@skip (.*)$/gm)].map(([, reason]) => reason ?? '')
  const fault = isLate ? `still running after ${limit} s` : faultOf(counted, skipped.length, status)
  return {
    file,
    passed: counted.passed,
    failed: Math.max(counted.total - counted.passed - counted.skipped, fault === undefined ? 0 : 1),
    skipped: [
      ...skipped,
      ...Array.from({ length: counted.skipped }, () => 'marked as skipped in the file'),
    ],
    seconds,
    output,
    fault,
  }
}

interface Count {
  readonly total: number
  readonly passed: number
  readonly skipped: number
}

/** uvu prints one summary at the end of a process. */
function count(output: string): Count {
  const figure = (name: string): number =>
    Number(new RegExp(`^ {2}${name}: +(\\d+)`, 'm').exec(output)?.[1] ?? 0)
  return { total: figure('Total'), passed: figure('Passed'), skipped: figure('Skipped') }
}

/** A throwing hook and a forgotten `run()` end with status 0 in uvu: the counts tell. */
function faultOf(
  { total, passed, skipped }: Count,
  needs: number,
  status: number | string,
): string | undefined {
  if (status !== 0 && passed + skipped === total) return `ended with ${status}`
  if (needs > 0 && total === 0) return undefined
  if (total === 0) return 'ran no test (is .run() missing?)'
  return passed + skipped < total
    ? `${total - passed - skipped} of ${total} tests failed or never ran`
    : undefined
}

function collect(
  file: string,
  limitSeconds: number,
): Promise<{ output: string; status: number | string; isLate: boolean }> {
  return new Promise((resolve) => {
    // A group of its own, so that what the test started ends with it.
    const child = spawn(process.execPath, [file], {
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NO_COLOR: '1', FORCE_COLOR: '0' },
    })
    let output = ''
    let isLate = false
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        output += chunk
      })
    }
    const killGroup = (): void => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
      } catch (error) {
        if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
      }
    }
    const timer = setTimeout(() => {
      isLate = true
      // First the polite way: laboratories remove what they made.
      child.kill('SIGTERM')
      setTimeout(killGroup, 5000).unref()
    }, limitSeconds * 1000)
    child.once('error', (error) => {
      output += String(error)
    })
    child.once('exit', (code, signal) => {
      clearTimeout(timer)
      setTimeout(() => {
        killGroup()
        resolve({ output, status: code ?? signal ?? 'nothing', isLate })
      }, 20)
    })
  })
}
