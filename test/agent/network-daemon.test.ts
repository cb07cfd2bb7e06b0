// time limit: 600 s
/** The picture of the network from real agents without an interface: what they tell of their paths by gossip. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { organizationsOf } from '../../simulations/lab/login.ts'
import { type Ask, newToken, withSession } from '../support/api.ts'
import { nexctl } from '../support/nexctl.ts'
import {
  freePort,
  startTestRegistry,
  type TestRegistry,
  temporaryDirectory,
} from '../support/registry.ts'

const NEXD = new URL('../../agent/nexd.js', import.meta.url).pathname
const NAMES = ['one', 'two', 'three']

interface Told {
  readonly devices: readonly { id: string; name: string; state: string }[]
  readonly links: readonly {
    a: string
    b: string
    kind: string
    roundTripMs?: number
    reports: readonly { by: string; kind: string }[]
  }[]
}

let registry: TestRegistry
let folder: string
let ada: Ask
let home: string
const agents = new Map<string, ChildProcess>()

const rule = suite('picture of the network, from real agents')

rule.before(async () => {
  registry = await startTestRegistry()
  const browser = await registry.ada()
  const [organization = ''] = await organizationsOf(browser)
  ada = withSession(browser)
  home = `/organizations/${organization}`
  folder = await temporaryDirectory()
  for (const name of NAMES) await start(name, organization)
})
rule.after(async () => {
  for (const name of agents.keys()) await stop(name, 'SIGTERM')
  await registry[Symbol.asyncDispose]()
})

async function start(name: string, organization: string): Promise<void> {
  await mkdir(join(folder, name))
  const made = await ada('POST', `${home}/registration-keys`, { description: name })
  const options = {
    registry: `${registry.url}#${organization}`,
    'registration-key': String(made.json['key']),
    'state-dir': join(folder, name),
    socket: join(folder, `${name}.sock`),
    'listen-port': `${await freePort()}`,
    'mesh-listen': `/ip4/127.0.0.1/tcp/${await freePort()}`,
    backend: 'userspace',
    name,
  }
  const words = Object.entries(options).flatMap(([option, value]) => [`--${option}`, value])
  const args = [NEXD, 'up', ...words, '--no-mdns', '--no-port-mapping']
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  agents.set(name, child)
  const lines: string[] = []
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => lines.push(line))
  }
  while (!lines.some((line) => line.includes('daemon.started'))) {
    if (child.exitCode !== null) throw new Error(`${name} ended:\n${lines.join('\n')}`)
    await sleep(50)
  }
}

async function stop(name: string, signal: NodeJS.Signals): Promise<void> {
  const child = agents.get(name)
  agents.delete(name)
  if (child === undefined || child.exitCode !== null) return
  const ended = once(child, 'exit')
  child.kill(signal)
  await ended
}

async function told(): Promise<Told> {
  return (await ada('GET', `${home}/network`)).json as unknown as Told
}

/** `one two direct 2`: ends, kind, and how many of them say so. */
function linesOf({ devices, links }: Told): string {
  const nameOf = (id: string) => devices.find((each) => each.id === id)?.name
  return links
    .map(({ a, b, kind, reports }) => `${nameOf(a)} ${nameOf(b)} ${kind} ${reports.length}`)
    .join('; ')
}

async function until(holds: (network: Told) => boolean): Promise<Told> {
  for (;;) {
    const network = await told()
    if (holds(network)) return network
    await sleep(300)
  }
}

rule('shows each link as both its ends tell it, with a round trip', async () => {
  const want = 'one three direct 2; one two direct 2; three two direct 2'
  const { devices, links } = await until((network) => linesOf(network) === want)
  assert.equal(
    devices.map(({ state }) => state),
    ['online', 'online', 'online'],
  )
  assert.ok(links.every(({ roundTripMs = 0 }) => roundTripMs >= 1 && roundTripMs < 10_000))
})

rule('is printed by nexctl, for people and for programs, whole or of one device', async () => {
  const file = join(folder, 'login.json')
  const { token } = await newToken(ada, ['read'])
  await writeFile(file, JSON.stringify({ registry: `${registry.url}/`, token }), { mode: 0o600 })
  const show = async (...argv: string[]) => {
    const { stdout, stderr, status } = await nexctl(['--login-file', file, ...argv])
    assert.is(status, 0, stderr)
    return stdout
  }
  const text = await show('network', 'show')
  assert.match(text, '3 of 3 devices online; 3 links direct, 0 relayed')
  assert.match(text, /^one {5}three {3}direct {2}\d+ ms/m)
  const own = JSON.parse(await show('--output', 'json', 'network', 'show', 'two')) as Told
  assert.is(own.links.length, 2)
  const wrong = await nexctl(['--login-file', file, 'network', 'show', 'nobody'])
  assert.is(wrong.status === 0, false)
  assert.match(wrong.stderr, 'nothing is called "nobody"')
})

rule(
  'forgets a device that was killed: at the registry at once, in its peers’ words soon',
  async () => {
    await stop('two', 'SIGKILL')
    const network = await until(({ links }) => links.length === 1)
    assert.is(linesOf(network), 'one three direct 2')
    const states = new Map(network.devices.map(({ name, state }) => [name, state]))
    assert.equal([states.get('one'), states.get('two')], ['online', 'offline'])
  },
)

rule.run()
