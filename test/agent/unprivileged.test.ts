// time limit: 240 s
/** Agents without any privilege: real processes, enrolled at a real registry, with WireGuard and TCP/IP inside. As root
 *  the test starts them as nobody, without capabilities. */
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chmod, chown, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { z } from 'zod'
import { PEERS, PING, STATUS } from '../../agent/control/reports.ts'
import { type Browser, organizationsOf } from '../../simulations/lab/login.ts'
import {
  freePort,
  startTestRegistry,
  type TestRegistry,
  temporaryDirectory,
} from '../support/registry.ts'

const execute = promisify(execFile)
const NEXD = new URL('../../agent/nexd.js', import.meta.url).pathname
const NEXCTL = new URL('../../agent/nexctl.ts', import.meta.url).pathname
const NOBODY = 65_534
const isRoot = process.getuid?.() === 0
/** What an agent may not run. */
const FORBIDDEN = ['ip', 'nft', 'wg', 'wireguard-go', 'ss', 'ping', 'iptables']

interface Agent {
  readonly name: string
  readonly folder: string
  readonly child: ChildProcess
  readonly lines: string[]
}

let test: TestRegistry
let folder: string
let ada: Browser
let organization: string
const agents: Agent[] = []

const rule = suite('nexd without privileges')

rule.before(async () => {
  test = await startTestRegistry()
  ada = await test.ada()
  ;[organization = ''] = await organizationsOf(ada)
  folder = await temporaryDirectory()
  await chmod(folder, 0o755)
  await trap()
  for (const name of ['one', 'two']) agents.push(await start(name))
  for (const agent of agents) await said(agent, /daemon\.started/)
})
rule.after(async () => {
  for (const agent of agents) await stop(agent)
})

async function registrationKey(): Promise<string> {
  const made = await ada.fetch(`/v1/organizations/${organization}/registration-keys`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', origin: test.url },
    body: JSON.stringify({ description: 'test' }),
  })
  return z.object({ key: z.string() }).parse(await made.json()).key
}

/** Commands that tell that they were run. */
async function trap(): Promise<void> {
  const bin = join(folder, 'bin')
  await mkdir(bin)
  await writeFile(join(folder, 'trapped'), '')
  await chmod(join(folder, 'trapped'), 0o666)
  for (const command of FORBIDDEN) {
    const script = `#!/bin/sh\necho "${command} $*" >>${join(folder, 'trapped')}\nexit 1\n`
    await writeFile(join(bin, command), script, { mode: 0o755 })
  }
}

/** With the backend, state directory and socket that nexd chooses by itself. */
async function start(name: string): Promise<Agent> {
  const home = join(folder, name)
  const isNew = !existsSync(home)
  await mkdir(home, { recursive: true })
  if (isRoot) await chown(home, NOBODY, NOBODY)
  // Enrolled, it knows the rest.
  const joining = isNew
    ? ['--registry', `${test.url}#${organization}`, '--registration-key', await registrationKey()]
    : []
  const args = ['up', ...joining, '--name', name]
  const ports = [
    '--listen-port',
    `${await freePort()}`,
    '--mesh-listen',
    `/ip4/127.0.0.1/tcp/${await freePort()}`,
  ]
  const nobody = [
    '--reuid',
    `${NOBODY}`,
    '--regid',
    `${NOBODY}`,
    '--clear-groups',
    '--no-new-privs',
    '--bounding-set=-all',
    '--inh-caps=-all',
  ]
  const prefix = isRoot ? ['setpriv', ...nobody] : []
  const [command = '', ...rest] = [
    ...prefix,
    process.execPath,
    NEXD,
    ...args,
    ...ports,
    '--no-mdns',
    '--no-port-mapping',
  ]
  const child = spawn(command, rest, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { HOME: home, PATH: `${join(folder, 'bin')}:${process.env['PATH'] ?? ''}` },
  })
  const lines: string[] = []
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => lines.push(line))
  }
  return { name, folder: home, child, lines }
}

async function stop({ child }: Agent): Promise<void> {
  if (child.exitCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  await exited
}

async function said({ name, lines, child }: Agent, pattern: RegExp): Promise<void> {
  while (!lines.some((line) => pattern.test(line))) {
    if (child.exitCode !== null) throw new Error(`${name} ended:\n${lines.join('\n')}`)
    await sleep(50)
  }
}

async function nexctl(agent: Agent, ...args: readonly string[]): Promise<unknown> {
  const socket = join(agent.folder, '.nexodus', 'nexd.sock')
  const all = [NEXCTL, '--socket', socket, '--output', 'json', ...args]
  const { stdout } = await execute(process.execPath, all).catch((cause: Error) => {
    throw new Error(`${cause.message}\n${agent.lines.slice(-20).join('\n')}`)
  })
  return JSON.parse(stdout)
}

async function peer(agent: Agent, name: string) {
  return PEERS.parse(await nexctl(agent, 'peers', 'list')).find((each) => each.name === name)
}

async function untilDirect(agent: Agent, name: string): Promise<void> {
  while ((await peer(agent, name))?.path !== 'direct') await sleep(200)
}

async function untilPinged(agent: Agent, name: string): Promise<void> {
  while ((await ping(agent, name)) === 0) await sleep(200)
}

async function ping(agent: Agent, name: string): Promise<number> {
  return PING.parse(await nexctl(agent, 'peers', 'ping', name, '--count', '3')).received
}

rule('chooses WireGuard in its own process, as an ordinary user', async () => {
  for (const agent of agents) {
    const rights = await readFile(`/proc/${agent.child.pid}/status`, 'utf8')
    if (isRoot) assert.match(rights, /^CapEff:\s*0+$/m)
    const status = STATUS.parse(await nexctl(agent, 'status'))
    assert.equal([status.state, status.interface.backend], ['running', 'userspace'])
  }
})

rule('finds the direct path on the one port, and pings through the tunnel', async () => {
  const [one, two] = agents as [Agent, Agent]
  await untilDirect(one, 'two')
  await untilDirect(two, 'one')
  assert.ok((await ping(one, 'two')) > 0)
  assert.ok((await ping(two, 'one')) > 0)
  assert.ok((await peer(one, 'two'))?.latestHandshake)
})

rule('goes on when the registry is gone, and starts again without it', async () => {
  await test[Symbol.asyncDispose]()
  const [one, two] = agents as [Agent, Agent]
  assert.ok((await ping(one, 'two')) > 0)
  await stop(two)
  const again = await start('two')
  agents[1] = again
  await said(again, /daemon\.started/)
  await untilDirect(again, 'one')
  await untilPinged(again, 'one')
  await untilPinged(one, 'two')
})

rule('runs no command of the host, and makes no interface', async () => {
  assert.is(await readFile(join(folder, 'trapped'), 'utf8'), '')
  const links = execFileSync('ls', ['/sys/class/net'], { encoding: 'utf8' })
  assert.not.match(links, /nexodus0/)
})

rule.run()
