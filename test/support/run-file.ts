/** One test file in a process of its own, within its time limit. */
import { type ChildProcess, spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Ending, type Verdict, verdictOf } from './verdict.ts'

export interface FileResult extends Verdict {
  readonly file: string
  readonly seconds: number
  /** What it printed (of very much, the end); shown where it failed. */
  readonly output: string
}

/** A file that needs longer says so in its first five lines: `// time limit: 300 s`. */
const DEFAULT_LIMIT_SECONDS = 180
/** From the polite signal to the other one: laboratories remove what they made. Milliseconds. */
const GRACE_MS = 10_000
/** What a test started may take this long to follow it. Milliseconds. */
const LEFTOVER_MS = 3000
/** Characters of output kept. */
const OUTPUT_LIMIT = 1_000_000

const WATCH = new URL('watch-uvu.ts', import.meta.url).href
const running = new Set<ChildProcess>()

function head(source: string): string {
  return source.split('\n').slice(0, 5).join('\n')
}

/** Beside what a file may run. Laboratories wait much and compute little, but keep time: beside each other. */
export type Company = 'any' | 'laboratories' | 'none'

/** None for a file that says `// serial` in its first five lines. */
export function company(file: string, source: string): Company {
  if (/^\/\/ serial$/m.test(head(source))) return 'none'
  return /(^|\/)lab\//.test(file) ? 'laboratories' : 'any'
}

export async function runFile(file: string): Promise<FileResult> {
  const declared = /^\/\/ time limit: (\d+) s$/m.exec(head(await readFile(file, 'utf8')))?.[1]
  const startedMs = performance.now()
  const ending = await run(file, Number(declared ?? DEFAULT_LIMIT_SECONDS))
  const seconds = (performance.now() - startedMs) / 1000
  return { file, seconds, output: ending.output, ...verdictOf(ending) }
}

/** Ends every file that runs, politely first. */
export async function endRunning(): Promise<void> {
  const children = [...running]
  for (const child of children) child.kill('SIGTERM')
  for (let waitedMs = 0; running.size > 0 && waitedMs < GRACE_MS; waitedMs += 50) await sleep(50)
  for (const child of children) signalGroup(child, 'SIGKILL')
}

async function run(file: string, limitSeconds: number): Promise<Ending> {
  const { FORCE_COLOR: _, ...environment } = process.env
  // A group of its own, so that what the test started can be ended with it.
  const child = spawn(process.execPath, ['--import', WATCH, file], {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...environment, NO_COLOR: '1' },
  })
  running.add(child)
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      output = (output + chunk).slice(-OUTPUT_LIMIT)
    })
  }
  let isLate = false
  const limit = setTimeout(() => {
    isLate = true
    child.kill('SIGTERM')
  }, limitSeconds * 1000)
  const last = setTimeout(() => signalGroup(child, 'SIGKILL'), limitSeconds * 1000 + GRACE_MS)
  const closed = new Promise((resolve) => child.once('close', resolve))
  const status = await exitOf(child)
  clearTimeout(limit)
  clearTimeout(last)
  running.delete(child)
  const hasLeftovers = await endGroup(child)
  // Who left the group may hold the pipes open still.
  await Promise.race([closed, sleep(200)])
  return { output, status, limitSeconds, isLate, hasLeftovers }
}

function exitOf(child: ChildProcess): Promise<number | string> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message))
    child.once('exit', (code, signal) => resolve(code ?? signal ?? 'nothing'))
  })
}

/** @returns whether anything of the group had to be killed */
async function endGroup(child: ChildProcess): Promise<boolean> {
  for (let waitedMs = 0; waitedMs < LEFTOVER_MS; waitedMs += 50) {
    if (!signalGroup(child, 0)) return false
    await sleep(50)
  }
  return signalGroup(child, 'SIGKILL')
}

/** @returns whether there was anybody to be signalled */
function signalGroup({ pid }: ChildProcess, signal: NodeJS.Signals | 0): boolean {
  if (pid === undefined) return false
  try {
    return process.kill(-pid, signal)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ESRCH') return false
    throw error
  }
}
