/** A real `nexd proxy`: a process of its own, enrolled with a key; as root the test starts it as nobody. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chown, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { NOBODY, UNPRIVILEGED, withoutUserNamespaces } from '../../support/unprivileged.ts'

const execute = promisify(execFile)
const program = (name: string) => fileURLToPath(new URL(`../../../agent/${name}`, import.meta.url))

export interface ProxyDaemon extends AsyncDisposable {
  readonly pid: number
  readonly lines: readonly string[]
  /** What the program prints; rejects where it fails. */
  nexctl(...words: readonly string[]): Promise<string>
  /** Resolves when it has said so. */
  said(pattern: RegExp): Promise<void>
}

export interface ProxyDaemonOptions {
  readonly name: string
  /** What it keeps is in a folder of its name there. */
  readonly folder: string
  readonly ports: { readonly wireguard: number; readonly mesh: number }
  /** Not needed when it has enrolled before. */
  readonly joining?: readonly string[]
  readonly proxy?: readonly string[]
  /** Where no user namespace can be made. */
  readonly isWithoutUserNamespaces?: boolean
}

export async function startProxyDaemon(options: ProxyDaemonOptions): Promise<ProxyDaemon> {
  const home = join(options.folder, options.name)
  const isRoot = process.getuid?.() === 0
  if (!existsSync(home)) await mkdir(home)
  if (isRoot) await chown(home, NOBODY, NOBODY)
  const socket = join(home, 'nexd.sock')
  const [command = '', ...words] = [
    ...(options.isWithoutUserNamespaces ? withoutUserNamespaces() : UNPRIVILEGED),
    ...[process.execPath, program('nexd.js'), 'proxy', '--name', options.name],
    ...['--state-dir', join(home, 'state'), '--socket', socket],
    ...['--listen-port', `${options.ports.wireguard}`],
    ...['--mesh-listen', `/ip4/127.0.0.1/tcp/${options.ports.mesh}`],
    ...['--no-mdns', '--no-port-mapping'],
    ...(options.joining ?? []),
    ...(options.proxy ?? []),
  ]
  const child = spawn(command, words, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { HOME: home, PATH: process.env['PATH'] ?? '' },
  })
  const lines = linesOf(child)
  const said = async (pattern: RegExp): Promise<void> => {
    while (!lines.some((line) => pattern.test(line))) {
      if (child.exitCode !== null) throw new Error(`it ended:\n${lines.join('\n')}`)
      await sleep(50)
    }
  }
  await said(/daemon\.started/)
  return {
    pid: child.pid ?? 0,
    lines,
    said,
    nexctl: async (...asked) => {
      const all = [program('nexctl.ts'), '--socket', socket, ...asked]
      return (await execute(process.execPath, all)).stdout
    },
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode !== null) return
      const exited = once(child, 'exit')
      child.kill('SIGTERM')
      await exited
    },
  }
}

function linesOf(child: ChildProcess): string[] {
  const lines: string[] = []
  for (const stream of [child.stdout, child.stderr])
    if (stream !== null) createInterface({ input: stream }).on('line', (line) => lines.push(line))
  return lines
}
