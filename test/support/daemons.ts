/** Agents without an interface, on loopback, in one organization of a registry of the test's. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import type { z } from 'zod'
import { organizationsOf } from '../../simulations/lab/login.ts'
import { type Ask, withSession } from './api.ts'
import { nexctl } from './nexctl.ts'
import { freePort, startTestRegistry, type TestRegistry, temporaryDirectory } from './registry.ts'

const NEXD = new URL('../../agent/nexd.js', import.meta.url).pathname

export interface Daemons extends AsyncDisposable {
  readonly registry: TestRegistry
  /** As the organization's owner. */
  readonly ada: Ask
  /** Path of the organization in the registry's API. */
  readonly home: string
  /** What the daemons keep; it outlives them. */
  readonly folder: string
  /** What `nexctl` of a daemon answers. */
  nexctl<T>(name: string, shape: z.ZodType<T>, ...words: readonly string[]): Promise<T>
  stop(name: string, signal: NodeJS.Signals): Promise<void>
}

/** Resolves when all run. */
export async function startDaemons(names: readonly string[]): Promise<Daemons> {
  const registry = await startTestRegistry()
  const browser = await registry.ada()
  const [organization = ''] = await organizationsOf(browser)
  const ada = withSession(browser)
  const home = `/organizations/${organization}`
  const folder = await temporaryDirectory()
  const running = new Map<string, ChildProcess>()
  for (const name of names) {
    const made = await ada('POST', `${home}/registration-keys`, { description: name })
    const registrationKey = String(made.json['key'])
    const enrolling = { registry: `${registry.url}#${organization}`, registrationKey }
    running.set(name, (await startDaemon(folder, name, enrolling)).child)
  }
  const stop = async (name: string, signal: NodeJS.Signals): Promise<void> => {
    const child = running.get(name)
    running.delete(name)
    if (child === undefined || child.exitCode !== null) return
    const ended = once(child, 'exit')
    child.kill(signal)
    await ended
  }
  return {
    ...{ registry, ada, home, folder, stop },
    nexctl: (name, shape, ...words) => askDaemon(folder, name, shape, ...words),
    [Symbol.asyncDispose]: async () => {
      for (const name of running.keys()) await stop(name, 'SIGTERM')
      await registry[Symbol.asyncDispose]()
    },
  }
}

/** What `nexctl` of the daemon of this name in the folder answers. */
export async function askDaemon<T>(
  folder: string,
  name: string,
  shape: z.ZodType<T>,
  ...words: readonly string[]
): Promise<T> {
  const argv = ['--socket', join(folder, `${name}.sock`), '--output', 'json', ...words]
  const { status, stdout, stderr } = await nexctl(argv)
  if (status !== 0) throw new Error(`nexctl ${words.join(' ')}: ${stderr}`)
  return shape.parse(JSON.parse(stdout))
}

export interface RunningDaemon {
  readonly child: ChildProcess
  /** What it printed. */
  readonly lines: readonly string[]
}

/** Throws what it printed where it ends before it runs.
 *  @param environment besides this process's own */
export async function startDaemon(
  folder: string,
  name: string,
  { registry, registrationKey }: { readonly registry: string; readonly registrationKey: string },
  environment: Readonly<Record<string, string>> = {},
): Promise<RunningDaemon> {
  const stateDirectory = join(folder, name)
  await mkdir(stateDirectory)
  const options = {
    ...{ registry, 'registration-key': registrationKey, 'state-dir': stateDirectory },
    socket: join(folder, `${name}.sock`),
    'listen-port': `${await freePort()}`,
    'mesh-listen': `/ip4/127.0.0.1/tcp/${await freePort()}`,
    backend: 'userspace',
    name,
  }
  const words = Object.entries(options).flatMap(([option, value]) => [`--${option}`, value])
  const args = [NEXD, 'up', ...words, '--no-mdns', '--no-port-mapping']
  const env = { ...process.env, ...environment }
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
  const lines: string[] = []
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => lines.push(line))
  }
  while (!lines.some((line) => line.includes('daemon.started'))) {
    if (child.exitCode !== null) throw new Error(`${name} ended:\n${lines.join('\n')}`)
    await sleep(50)
  }
  return { child, lines }
}
