/** Leashed process: a program of ours that can't outlive its starter, with the last lines that it printed. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Writable } from 'node:stream'

/** Lines kept of each. */
const KEPT_LINES = 400
/** From a signal to the end, before the process is killed. Milliseconds. */
const STOP_MS = 3000

const LEASH = new URL('leash.ts', import.meta.url).href

export interface LeashedOptions {
  readonly name: string
  readonly script: URL
  readonly args: readonly string[]
  /** Modules to load first. */
  readonly imports?: readonly URL[]
  readonly env?: Readonly<Record<string, string>>
  readonly home: string
  /** Its other end closes once this process has ended, too. */
  readonly held: Writable
  /** It ended, and nobody had stopped it. */
  onFault(process: Leashed, why: string): void
}

export class Leashed {
  readonly name: string
  readonly lines: string[] = []
  readonly #child: ChildProcess
  readonly #ended: Promise<void>
  readonly #waiting = new Set<() => void>()
  #isStopping = false

  constructor(options: LeashedOptions) {
    const { name, script, args, imports = [], env = {}, home, held, onFault } = options
    this.name = name
    const preloads = [LEASH, ...imports.map(({ href }) => href)].flatMap((each) => [
      '--import',
      each,
    ])
    // A session of its own: Ctrl-C in the terminal is the starter's.
    this.#child = spawn(process.execPath, [...preloads, script.pathname, ...args], {
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe', 'pipe', held],
      env: { ...inherited(), HOME: home, ...env },
    })
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      if (stream !== null) createInterface({ input: stream }).on('line', (line) => this.#said(line))
    }
    this.#child.once('error', (error) => this.#said(error.message))
    this.#ended = new Promise((resolve) => {
      this.#child.once('close', (status, signal) => {
        resolve()
        for (const look of this.#waiting) look()
        if (!this.#isStopping) onFault(this, `${name} ended (${signal ?? `status ${status}`})`)
      })
    })
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  /** The first line that matches, one printed before included. Throws where it ends without. */
  waitFor(pattern: RegExp): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        for (const line of this.lines) {
          const match = pattern.exec(line)
          if (match === null) continue
          this.#waiting.delete(look)
          resolve(match)
          return
        }
        if (this.#child.exitCode !== null || this.#child.signalCode !== null) {
          reject(new Error(`${this.name} ended`))
        }
      }
      this.#waiting.add(look)
      look()
    })
  }

  /** Resolves when it has ended; it is killed where it takes too long. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    this.#isStopping = true
    const late = setTimeout(() => this.#child.kill('SIGKILL'), STOP_MS)
    this.#child.kill(signal)
    await this.#ended
    clearTimeout(late)
  }

  #said(line: string): void {
    this.lines.push(line)
    if (this.lines.length > KEPT_LINES) this.lines.shift()
    for (const look of this.#waiting) look()
  }
}

/** Without settings of another agent or registry of this user. */
function inherited(): Record<string, string> {
  return Object.fromEntries(
    Object.entries(process.env).flatMap(([name, value]) =>
      value === undefined || name.startsWith('NEXODUS_') ? [] : [[name, value]],
    ),
  )
}

export interface Sweeper {
  /** To be handed to every process; what it is for has gone once all of these and this one let go. */
  readonly held: Writable
  /** Lets go; resolves when the folder has gone. */
  sweep(): Promise<void>
}

/** The folder goes with the last process of ours, even when nobody is left to remove it. */
export function startSweeper(folder: string): Sweeper {
  const script = new URL('sweeper.ts', import.meta.url).pathname
  const child = spawn(process.execPath, [script, folder], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  const gone = once(child, 'exit')
  return {
    held: child.stdin,
    sweep: async () => {
      child.stdin.destroy()
      await gone
    },
  }
}
