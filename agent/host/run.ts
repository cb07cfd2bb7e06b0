/** Commands of the host: how the agent runs `ip`, `nft`, `wg` and `wireguard-go`. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { access, constants } from 'node:fs/promises'
import { join } from 'node:path'
import type { Rtnetlink } from './rtnetlink.ts'

export interface RunOptions {
  /** Written to standard input, which is then closed: for secrets and batches, never put in arguments. */
  readonly input?: string
  /** Milliseconds until the command is killed; 10,000 unless given. */
  readonly timeoutMs?: number
}

/** Where commands run: in the agent's own namespace, or behind a prefix. */
export interface Commands {
  /** Standard output of a command that ended with status 0. Throws CommandError. */
  run(command: string, args: readonly string[], options?: RunOptions): Promise<string>
  /** Throws CommandError (ERR_COMMAND_MISSING) where the command is not installed. Runs nothing. */
  require(command: string): Promise<void>
  /** Starts a command that lasts; stdin is closed, stdout and stderr are pipes. The caller ends it. */
  start(
    command: string,
    args: readonly string[],
    env?: Readonly<Record<string, string>>,
  ): ChildProcess
  /** What `ip` does for links, addresses and routes, without a process. Resolves to undefined, or is missing, where only
   *  `ip` does it: behind a prefix, or where koffi or the kernel is not made for it. */
  rtnetlink?(): Promise<Rtnetlink | undefined>
}

export interface CommandsOptions {
  /** Put before each command: `['ip', 'netns', 'exec', name]` runs it in a network namespace. */
  readonly prefix?: readonly string[]
  /** Directories to look for commands in; the agent's PATH and the system directories unless given. */
  readonly path?: string
}

export type CommandErrorCode =
  | 'ERR_COMMAND_MISSING'
  | 'ERR_COMMAND_FAILED'
  | 'ERR_COMMAND_TIMEOUT'
  | 'ERR_COMMAND_PRIVILEGES'

export class CommandError extends Error {
  override readonly name = 'CommandError'
  readonly code: CommandErrorCode
  /** What the command wrote to standard error, trimmed. */
  readonly stderr: string

  constructor(code: CommandErrorCode, message: string, stderr = '', options?: ErrorOptions) {
    super(message, options)
    this.code = code
    this.stderr = stderr
  }
}

const TIMEOUT_MS = 10_000
/** Bytes: `wg show dump` of 10,000 peers is 2 MB. */
const MOST_OUTPUT_BYTES = 64 << 20

/** The Debian package (the name is nearly the same elsewhere) that has each command. */
const PACKAGES: Readonly<Record<string, string>> = {
  ip: 'iproute2',
  ss: 'iproute2',
  nft: 'nftables',
  wg: 'wireguard-tools',
  'wireguard-go': 'wireguard-go',
}

export function commandsOf({ prefix = [], path }: CommandsOptions = {}): Commands {
  const env = {
    ...process.env,
    PATH: path ?? `${process.env['PATH'] ?? ''}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin`,
    LC_ALL: 'C',
  }
  const whole = (command: string, args: readonly string[]): [string, string[]] => {
    const [first = command, ...rest] = [...prefix, command, ...args]
    return [first, rest]
  }
  return {
    run: (command, args, { input, timeoutMs = TIMEOUT_MS } = {}) =>
      new Promise((resolve, reject) => {
        const child = execFile(
          ...whole(command, args),
          { env, timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: MOST_OUTPUT_BYTES },
          (error, stdout, stderr) => {
            if (error === null) resolve(stdout)
            else reject(commandError(command, args, error, stderr.trim(), timeoutMs))
          },
        )
        // A command that ends before it has read everything: its status tells why.
        child.stdin?.on('error', () => undefined)
        child.stdin?.end(input ?? '')
      }),
    require: async (command) => {
      const files = env.PATH.split(':').map((folder) => join(folder, command))
      try {
        await Promise.any(files.map((file) => access(file, constants.X_OK)))
      } catch (cause) {
        throw missingCommand(command, cause)
      }
    },
    start: (command, args, extra = {}) =>
      spawn(...whole(command, args), {
        env: { ...env, ...extra },
        stdio: ['ignore', 'pipe', 'pipe'],
      }),
    ...(prefix.length === 0 && path === undefined ? { rtnetlink } : {}),
  }
}

let ofProcess: Promise<Rtnetlink | undefined> | undefined

/** One for the process: its namespace is always the same. */
function rtnetlink(): Promise<Rtnetlink | undefined> {
  ofProcess ??= import('./open-rtnetlink.ts').then(({ openRtnetlink }) => openRtnetlink())
  return ofProcess
}

/** The error of a command that could not be started, `ENOENT` above all. */
export function missingCommand(command: string, cause: unknown): CommandError {
  const from = PACKAGES[command]
  const hint = from === undefined ? `put ${command} on the PATH` : `install the package ${from}`
  return new CommandError('ERR_COMMAND_MISSING', `${command} is not installed (${hint})`, '', {
    cause,
  })
}

function commandError(
  command: string,
  args: readonly string[],
  cause: Error & { readonly code?: unknown; readonly killed?: boolean },
  stderr: string,
  timeoutMs: number,
): CommandError {
  const line = [command, ...args].join(' ').slice(0, 120)
  if (cause.code === 'ENOENT' || stderr.startsWith(`exec of "${command}" failed`)) {
    return missingCommand(command, cause)
  }
  if (cause.killed === true) {
    const message = `"${line}" took longer than ${timeoutMs} ms and was killed`
    return new CommandError('ERR_COMMAND_TIMEOUT', message, stderr, { cause })
  }
  if (/operation not permitted|must be root/i.test(stderr)) {
    const message = `"${line}" was not permitted (run as root, or with CAP_NET_ADMIN)`
    return new CommandError('ERR_COMMAND_PRIVILEGES', message, stderr, { cause })
  }
  const status = typeof cause.code === 'number' ? `status ${cause.code}` : cause.message
  const said = stderr.split('\n').slice(0, 3).join('; ') || 'nothing on stderr'
  return new CommandError(
    'ERR_COMMAND_FAILED',
    `"${line}" failed with ${status}: ${said}`,
    stderr,
    {
      cause,
    },
  )
}
