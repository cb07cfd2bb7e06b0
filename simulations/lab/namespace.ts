/** A network namespace: a host of the laboratory. Commands run in it; what they start ends with it. */
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process'
import { createWriteStream, readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'

export interface Output {
  readonly stdout: string
  readonly stderr: string
  readonly status: number
}

/** A process that lasts, its output line by line and in a file. */
export interface Running {
  readonly child: ChildProcess
  readonly lines: readonly string[]
  /** The first line that matches, one printed before included. Throws with the last lines when none comes. */
  waitFor(pattern: RegExp, timeoutMs?: number): Promise<RegExpExecArray>
  /** Resolves when it has ended. Throws where it had to be killed after `withinMs`, 30 seconds unless given. */
  stop(signal?: NodeJS.Signals, withinMs?: number): Promise<void>
  readonly ended: Promise<number>
}

/** From a signal to the end of the process, milliseconds. */
const STOP_MS = 30_000

const ENV = { ...process.env, LC_ALL: 'C', PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` }

/** Commands that have not ended. */
const underWay = new Set<ChildProcess>()

function tracked(child: ChildProcess): ChildProcess {
  underWay.add(child)
  child.once('close', () => underWay.delete(child))
  return child
}

/** Kills the commands under way that name something with the prefix, and returns when none of them can do any
 *  more; synchronous, so that it also works while dying. */
export function killCommands(prefix: string): void {
  const named = [...underWay].filter(({ spawnargs }) =>
    spawnargs.some((arg) => arg.startsWith(prefix)),
  )
  for (const child of named) child.kill('SIGKILL')
  for (const { pid } of named) while (pid !== undefined && isRunning(pid)) pause()
}

/** A zombie runs no more; it is reaped by the event loop, which may never turn again. proc_pid_stat(5), field 3. */
function isRunning(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2))
  } catch (error) {
    if (error instanceof Error && 'code' in error) return false
    throw error
  }
}

/** A millisecond, with the event loop stopped. */
function pause(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
}

/** Runs a command of this host. Throws with its stderr unless it ends with status 0. */
export function run(
  command: string,
  args: readonly string[],
  input = '',
  timeoutMs = 60_000,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = tracked(
      execFile(
        command,
        [...args],
        { env: ENV, timeout: timeoutMs, maxBuffer: 64 << 20 },
        (error, stdout, stderr) => {
          if (error === null) resolve(stdout)
          else
            reject(
              new Error(
                `${command} ${args.join(' ').slice(0, 200)}: ${stderr.trim() || error.message}`,
              ),
            )
        },
      ),
    )
    child.stdin?.on('error', () => undefined)
    child.stdin?.end(input)
  })
}

export class Namespace {
  readonly name: string

  constructor(name: string) {
    this.name = name
  }

  /** Throws with stderr unless the command ends with status 0. */
  exec(command: string, ...args: readonly string[]): Promise<string> {
    return run('ip', ['netns', 'exec', this.name, command, ...args])
  }

  /** As `exec`, but whatever the status. */
  attempt(command: string, ...args: readonly string[]): Promise<Output> {
    return new Promise((resolve) => {
      tracked(
        execFile(
          'ip',
          ['netns', 'exec', this.name, command, ...args],
          { env: ENV, maxBuffer: 64 << 20 },
          (error, stdout, stderr) => {
            const status = error === null ? 0 : typeof error.code === 'number' ? error.code : 1
            resolve({ stdout, stderr, status })
          },
        ),
      )
    })
  }

  /** Many lines for `ip -batch -`, or rules for `nft -f -`, in one process. */
  async batch(kind: 'ip' | 'nft', lines: readonly string[]): Promise<void> {
    if (lines.length === 0) return
    await this.feed(lines, ...(kind === 'ip' ? ['ip', '-batch', '-'] : ['nft', '-f', '-']))
  }

  /** As `exec`, with lines for its standard input. */
  feed(lines: readonly string[], ...command: readonly string[]): Promise<string> {
    return run('ip', ['netns', 'exec', this.name, ...command], `${lines.join('\n')}\n`)
  }

  spawn(
    logFile: string,
    command: string,
    args: readonly string[],
    env: Readonly<Record<string, string>> = {},
    input: 'ignore' | 'pipe' = 'ignore',
  ): Running {
    const child = spawn('ip', ['netns', 'exec', this.name, command, ...args], {
      env: { ...ENV, ...env },
      stdio: [input, 'pipe', 'pipe'],
    })
    return watch(child, logFile, command)
  }

  /** Kills whatever runs in it and removes it; synchronous, so that it also works while dying. */
  remove(): void {
    // Nothing where it was left half made: a name, and no namespace behind it yet.
    const pids = unlessRefused(() =>
      execFileSync('ip', ['netns', 'pids', this.name], {
        encoding: 'utf8',
        env: ENV,
        stdio: ['ignore', 'pipe', 'ignore'],
      }),
    )
    for (const pid of (pids ?? '').split('\n').filter((line) => line !== '')) kill(Number(pid))
    // Refused where it is gone already: somebody else has removed it.
    unlessRefused(() =>
      execFileSync('ip', ['netns', 'del', this.name], { env: ENV, stdio: 'ignore' }),
    )
  }
}

/** Undefined where the command ended with a status other than 0. */
function unlessRefused<T>(command: () => T): T | undefined {
  try {
    return command()
  } catch (error) {
    if (error instanceof Error && 'status' in error && typeof error.status === 'number')
      return undefined
    throw error
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}

function watch(child: ChildProcess, logFile: string, command: string): Running {
  const lines: string[] = []
  const waiting = new Set<() => void>()
  const file = createWriteStream(logFile, { flags: 'a' })
  for (const stream of [child.stdout, child.stderr]) {
    if (stream === null) continue
    createInterface({ input: stream }).on('line', (line) => {
      lines.push(line)
      file.write(`${line}\n`)
      for (const each of waiting) each()
    })
  }
  let isEnded = false
  const ended = new Promise<number>((resolve) => {
    child.once('error', ({ message }) => lines.push(message))
    child.once('close', (status) => {
      file.end()
      isEnded = true
      resolve(status ?? 1)
      for (const each of waiting) each()
    })
  })
  return {
    child,
    lines,
    ended,
    waitFor: (pattern, timeoutMs = 20_000) =>
      new Promise((resolve, reject) => {
        const fail = (why: string): void => {
          waiting.delete(look)
          clearTimeout(timer)
          reject(
            new Error(
              `${command}: ${why} before ${pattern}; last lines:\n${lines.slice(-12).join('\n')}`,
            ),
          )
        }
        const timer = setTimeout(() => fail(`nothing for ${timeoutMs} ms`), timeoutMs)
        const look = (): void => {
          for (const line of lines) {
            const match = pattern.exec(line)
            if (match === null) continue
            waiting.delete(look)
            clearTimeout(timer)
            resolve(match)
            return
          }
          if (isEnded) fail('ended')
        }
        waiting.add(look)
        look()
      }),
    stop: async (signal = 'SIGTERM', withinMs = STOP_MS) => {
      let isLate = false
      const timer = setTimeout(() => {
        isLate = !isEnded
        child.kill('SIGKILL')
      }, withinMs)
      child.kill(signal)
      await ended
      clearTimeout(timer)
      if (isLate) throw new Error(`${command} did not end within ${withinMs} ms of ${signal}`)
    },
  }
}
