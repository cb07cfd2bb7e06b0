// time limit: 600 s
/** A policy from the registry to the packet: real agents without an interface, and what their pings meet. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { z } from 'zod'
import { ANSWERS, POLICY_STATUS } from '../../agent/control/policy-report.ts'
import { PING, STATUS } from '../../agent/control/reports.ts'
import { WHY } from '../../agent/why/report.ts'
import { organizationsOf } from '../../simulations/lab/login.ts'
import { type Ask, withSession } from '../support/api.ts'
import {
  freePort,
  startTestRegistry,
  type TestRegistry,
  temporaryDirectory,
} from '../support/registry.ts'

const execute = promisify(execFile)
const NEXD = new URL('../../agent/nexd.js', import.meta.url).pathname
const NEXCTL = new URL('../../agent/nexctl.ts', import.meta.url).pathname

let registry: TestRegistry
let folder: string
let ada: Ask
let home: string
const agents: ChildProcess[] = []

const rule = suite('policy, from the registry to the packet')

rule.before(async () => {
  registry = await startTestRegistry()
  const browser = await registry.ada()
  const [organization = ''] = await organizationsOf(browser)
  ada = withSession(browser)
  home = `/organizations/${organization}`
  folder = await temporaryDirectory()
  for (const name of ['one', 'two']) await start(name, organization)
})
rule.after(async () => {
  for (const child of agents) {
    const ended = once(child, 'exit')
    child.kill('SIGTERM')
    await ended
  }
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
  agents.push(child)
  const lines: string[] = []
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => lines.push(line))
  }
  while (!lines.some((line) => line.includes('daemon.started'))) {
    if (child.exitCode !== null) throw new Error(`${name} ended:\n${lines.join('\n')}`)
    await sleep(50)
  }
}

async function nexctl<T>(name: string, shape: z.ZodType<T>, ...words: readonly string[]) {
  const socket = join(folder, `${name}.sock`)
  const args = [NEXCTL, '--socket', socket, '--output', 'json', ...words]
  return shape.parse(JSON.parse((await execute(process.execPath, args)).stdout))
}

async function reaches(from: string, to: string): Promise<boolean> {
  return (await nexctl(from, PING, 'peers', 'ping', to, '-c', '1')).received === 1
}

async function until(what: () => Promise<boolean>): Promise<void> {
  while (!(await what())) await sleep(200)
}

async function save(text: string, revision: number): Promise<void> {
  const { status, json } = await ada('PUT', `${home}/policy`, { text, revision })
  assert.is(status, 200, JSON.stringify(json))
  await until(async () => {
    const { devices } = await nexctl('one', POLICY_STATUS, 'policy', 'status')
    return devices.every((each) => each.state === 'enforced' && each.revision === revision + 1)
  })
}

rule('passes all before there is one', async () => {
  await until(() => reaches('one', 'two'))
  await until(() => reaches('two', 'one'))
  const { policy } = await nexctl('one', STATUS, 'status')
  assert.is(policy.revision, 0)
})

rule('is enforced by every device soon after it was saved, and each tells the others', async () => {
  const text = `version: 1
default: {inbound: deny, outbound: accept}
security_groups:
  "*":
    inbound_rules: [{ip_protocol: icmp, devices: [one]}]
tests:
  - one -> two icmp: accept
  - two -> one icmp: deny
`
  await save(text, 0)
  assert.ok(await reaches('one', 'two'))
  assert.not(await reaches('two', 'one'))
  const { answers } = await nexctl('two', ANSWERS, 'policy', 'test', 'two -> one icmp')
  assert.equal(
    answers.map(({ verdict, inbound }) => [verdict, inbound.by]),
    [
      ['deny', 'no-rule'],
      ['deny', 'no-rule'],
    ],
  )
})

rule('is denied at the sender, too, whatever the receiver would take', async () => {
  await save('{version: 1, default: {inbound: accept, outbound: deny}}', 1)
  assert.not(await reaches('one', 'two'))
  const { verdict } = await nexctl('one', WHY, 'why', 'two')
  assert.is(
    verdict.sentence,
    'two is there, but the policy (revision 2) lets nothing pass to it: the rules of one let nothing out to it.',
  )
})

rule('gives back what a later one allows', async () => {
  await save('{version: 1}', 2)
  await until(() => reaches('two', 'one'))
  assert.ok(await reaches('one', 'two'))
  const { policy } = await nexctl('two', STATUS, 'status')
  assert.equal(policy, { revision: 3, state: 'enforced' })
})

rule.run()
