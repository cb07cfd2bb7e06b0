/** The registry's program, as an operator starts it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { systemClock } from '../../registry/system-clock.ts'

const main = fileURLToPath(new URL('../../registry/main.ts', import.meta.url))

/** None outlives the test. */
const children: ChildProcess[] = []
process.once('exit', () => {
  for (const child of children) child.kill('SIGKILL')
})

export interface RegistryProcess {
  readonly child: ChildProcess
  readonly stdout: () => string
  readonly stderr: () => string
  /** Exit code, or the signal that ended it. */
  readonly ended: Promise<number | string>
}

/** @param before words of a command that ends in becoming the registry */
export function runRegistry(
  args: readonly string[],
  environment: Record<string, string> = {},
  before: readonly string[] = [],
): RegistryProcess {
  const env = { PATH: process.env['PATH'], HOME: process.env['HOME'], ...environment }
  const [file = '', ...words] = [...before, process.execPath, main, ...args]
  const child = spawn(file, words, { env, stdio: ['ignore', 'pipe', 'pipe'] })
  children.push(child)
  const output = { stdout: '', stderr: '' }
  child.stdout.on('data', (chunk) => {
    output.stdout += chunk
  })
  child.stderr.on('data', (chunk) => {
    output.stderr += chunk
  })
  const ended = once(child, 'close').then(([code, signal]) => (code ?? signal) as number | string)
  return { child, ended, stdout: () => output.stdout, stderr: () => output.stderr }
}

/** Options by which it touches nothing but `stateDirectory`, and ports that the system chooses. */
export function quietOptions(stateDirectory: string, port = 0): string[] {
  return [
    ...['--state-dir', stateDirectory, '--listen', `127.0.0.1:${port}`],
    ...['--rendezvous-listen', '/ip4/127.0.0.1/tcp/0', '--stun-listen', '127.0.0.1:0'],
  ]
}

/** Its URL, once it answers. Throws with what it said where it ends instead. */
export async function startedAt({ child, stdout, stderr }: RegistryProcess): Promise<URL> {
  for (;;) {
    const url = /at (http\S+)\n/.exec(stdout())?.[1]
    if (url !== undefined) return new URL(url)
    if (child.exitCode !== null) throw new Error(`it did not start: ${stderr()}`)
    await systemClock.sleep(20)
  }
}

export async function stopped({ child, ended }: RegistryProcess): Promise<number | string> {
  child.kill('SIGTERM')
  return ended
}

/** What a command that ends by itself came to. */
export async function completed(args: readonly string[], environment?: Record<string, string>) {
  const running = runRegistry(args, environment)
  const code = await running.ended
  return { code, stdout: running.stdout(), stderr: running.stderr() }
}
