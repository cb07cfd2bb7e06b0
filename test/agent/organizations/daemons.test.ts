// time limit: 600 s
/** One agent in two organizations of a real registry, as real processes that need no privilege. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { z } from 'zod'
import {
  ORGANIZATIONS,
  type OrganizationReport,
} from '../../../agent/control/organization-report.ts'
import { PING, STATUS } from '../../../agent/control/reports.ts'
import { approveDevice, type Browser, organizationsOf } from '../../../simulations/lab/login.ts'
import { nexctl, type Ran } from '../../support/nexctl.ts'
import {
  freePort,
  startTestRegistry,
  type TestRegistry,
  temporaryDirectory,
} from '../../support/registry.ts'

const NEXD = new URL('../../../agent/nexd.js', import.meta.url).pathname

interface Agent {
  readonly name: string
  readonly folder: string
  readonly ports: readonly string[]
  child: ChildProcess
  lines: string[]
}

const agents: Agent[] = []
let test: TestRegistry
let ada: Browser
let acme: string
let beta: string

const rule = suite('an agent in two organizations')

rule.before(async () => {
  test = await startTestRegistry()
  ada = await test.ada()
  ;[acme = ''] = await organizationsOf(ada)
  beta = z.object({ id: z.string() }).parse(await post('/v1/organizations', { name: 'beta' })).id
  for (const [name, organization] of [
    ['laptop', acme],
    ['phone', acme],
    ['server', beta],
  ] as const)
    agents.push(await newAgent(name, organization))
  for (const agent of agents) await said(agent, /daemon\.started/)
})
rule.after(async () => {
  for (const { child } of agents) await ended(child, 'SIGTERM')
  await test[Symbol.asyncDispose]()
})

async function post(path: string, body: object): Promise<unknown> {
  const answer = await ada.fetch(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', origin: test.url },
    body: JSON.stringify(body),
  })
  return answer.json()
}

async function registrationKey(organization: string): Promise<string> {
  const made = await post(`/v1/organizations/${organization}/registration-keys`, {
    description: 'test',
  })
  return z.object({ key: z.string() }).parse(made).key
}

async function newAgent(name: string, organization: string): Promise<Agent> {
  const folder = await temporaryDirectory()
  const ports = [
    ...['--listen-port', `${await freePort()}`],
    ...['--mesh-listen', `/ip4/127.0.0.1/tcp/${await freePort()}`],
  ]
  const key = await registrationKey(organization)
  const joining = ['--registry', `${test.url}#${organization}`, '--registration-key', key]
  return { name, folder, ports, ...run(name, folder, [...ports, ...joining]) }
}

function run(
  name: string,
  folder: string,
  more: readonly string[],
): Pick<Agent, 'child' | 'lines'> {
  const args = ['up', '--name', name, '--backend', 'userspace', '--state-dir', folder]
  const quiet = ['--socket', join(folder, 'nexd.sock'), '--no-mdns', '--no-port-mapping']
  const child = spawn(process.execPath, [NEXD, ...args, ...quiet, ...more], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const lines: string[] = []
  for (const stream of [child.stdout, child.stderr])
    createInterface({ input: stream }).on('line', (line) => lines.push(line))
  return { child, lines }
}

/** Enrolled, it knows the rest. */
function startAgain(agent: Agent): void {
  Object.assign(agent, run(agent.name, agent.folder, agent.ports))
}

async function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill(signal)
  await exited
}

async function said({ name, lines, child }: Agent, pattern: RegExp): Promise<void> {
  while (!lines.some((line) => pattern.test(line))) {
    if (child.exitCode !== null) throw new Error(`${name} ended:\n${lines.join('\n')}`)
    await sleep(50)
  }
}

function ask(agent: Agent, ...words: readonly string[]): Promise<Ran> {
  return nexctl(['--socket', join(agent.folder, 'nexd.sock'), '--output', 'json', ...words])
}

async function answer(agent: Agent, ...words: readonly string[]): Promise<unknown> {
  const { status, stdout, stderr } = await ask(agent, ...words)
  if (status !== 0) throw new Error(`${stderr}\n${agent.lines.slice(-20).join('\n')}`)
  return JSON.parse(stdout)
}

async function organizations(agent: Agent): Promise<readonly OrganizationReport[]> {
  return ORGANIZATIONS.parse(await answer(agent, 'organization', 'list', '--local'))
}

async function untilRunning(agent: Agent, label: string): Promise<void> {
  while (!(await organizations(agent)).some((at) => at.label === label && at.state === 'running'))
    await sleep(200)
}

async function untilPinged(agent: Agent, ...words: readonly string[]): Promise<void> {
  for (;;) {
    const { status, stdout } = await ask(agent, ...words)
    if (status === 0 && PING.parse(JSON.parse(stdout)).received > 0) return
    await sleep(300)
  }
}

/** The processes that an agent has started. */
async function children({ pid }: ChildProcess): Promise<readonly number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')
  return text.trim().split(' ').filter(Boolean).map(Number)
}

const isAlive = (pid: number): boolean => existsSync(`/proc/${pid}`)
const [laptop, PHONE, SERVER] = [() => agents[0] as Agent, 'phone', 'server']

rule('joins the second by a link and a code, as nexd up does the first', async () => {
  const socket = join(laptop().folder, 'nexd.sock')
  let isApproved = false
  const added = await nexctl(
    [...['--socket', socket, 'organization', 'add', `${test.url}#${beta}`, '--label', 'beta']],
    (text) => {
      const link = /open: (\S+)/.exec(text)?.[1]
      if (link === undefined || isApproved) return
      isApproved = true
      void approveDevice(ada, link, beta)
    },
  )
  assert.is(added.status, 0, added.stderr)
  assert.match(added.stdout, /^in beta, called beta here, as /)
  const listed = await organizations(laptop())
  assert.equal(
    listed.map(({ label, organization, state }) => [label, organization?.id, state]),
    [
      ['first', acme, 'running'],
      ['beta', beta, 'running'],
    ],
  )
})

rule('reaches the devices of both, though their ranges are the same', async () => {
  await untilPinged(laptop(), 'peers', 'ping', PHONE)
  await untilPinged(laptop(), '--organization', 'beta', 'peers', 'ping', SERVER)
  const strange = await ask(laptop(), 'peers', 'ping', SERVER)
  assert.match(strange.stderr, /no peer "server"/)
})

rule('answers for each by label, name and id, and says whom it does not know', async () => {
  for (const wanted of ['beta', beta]) {
    const status = STATUS.parse(await answer(laptop(), '--organization', wanted, 'status'))
    assert.is(status.organization.id, beta)
  }
  for (const wanted of [[], ['--organization', 'first'], ['--organization', acme]]) {
    const status = STATUS.parse(await answer(laptop(), ...wanted, 'status'))
    assert.is(status.organization.id, acme)
  }
  const { status, stderr } = await ask(laptop(), '--organization', 'gamma', 'status')
  assert.is(status, 1)
  assert.match(stderr, /in no organization "gamma" .*one of: first \(ada\), beta \(beta\)/)
})

rule('answers for the first where the environment names one of the registry’s', async () => {
  process.env['NEXODUS_ORGANIZATION'] = 'elsewhere'
  const { organization } = STATUS.parse(await answer(laptop(), 'status'))
  delete process.env['NEXODUS_ORGANIZATION']
  assert.is(organization.id, acme)
})

rule('keeps keys apart: neither organization learns that two devices are one', async () => {
  const other = join(laptop().folder, 'organizations', 'beta')
  for (const file of ['device.key', 'wireguard.key']) {
    const [own, others] = [join(laptop().folder, file), join(other, file)]
    assert.not.equal(await readFile(own), await readFile(others))
  }
})

rule('refuses what it cannot do, and says why', async () => {
  for (const [words, reason] of [
    [['add', 'ftp://x'], /want https:/],
    [['add', `${test.url}#${acme}`], /is in ada already, as "first"/],
    [['add', `${test.url}#${beta}`], /is in beta already, as "beta"/],
    [['add', test.url, '--label', 'beta'], /label "beta" is taken/],
    [['add', test.url, '--label', 'first'], /label "first" is taken/],
    [['add', test.url, '--label', '../x'], /a-z, 0-9 and inner hyphens/],
    [['remove', 'gamma'], /in no organization "gamma"/],
    [['remove', 'first'], /that of nexd up itself/],
  ] as const) {
    const { status, stderr } = await ask(laptop(), 'organization', ...words)
    assert.is(status, 1)
    assert.match(stderr, reason)
  }
  const beside = await nexctl([
    ...['--socket', join(laptop().folder, 'organizations', 'beta', 'nexd.sock')],
    ...['organization', 'list', '--local'],
  ])
  assert.match(beside.stderr, /is one organization’s/)
})

rule('leaves nothing of one whose key is refused', async () => {
  const words = ['--label', 'gamma', '--registration-key', `nrk_${'a'.repeat(32)}`]
  const { status, stderr } = await ask(laptop(), 'organization', 'add', test.url, ...words)
  assert.is(status, 1)
  assert.match(stderr, /enrolment refused/)
  assert.equal((await organizations(laptop())).length, 2)
  assert.equal(await readdir(join(laptop().folder, 'organizations')), ['beta'])
})

rule('starts one again that died, while the other goes on', async () => {
  const [pid = 0] = await children(laptop().child)
  process.kill(pid, 'SIGKILL')
  while (isAlive(pid)) await sleep(50)
  await untilPinged(laptop(), 'peers', 'ping', PHONE)
  await untilRunning(laptop(), 'beta')
  await untilPinged(laptop(), '--organization', 'beta', 'peers', 'ping', SERVER)
  assert.ok(laptop().lines.some((line) => /organization\.ended.*SIGKILL/.test(line)))
})

rule('ends them all when the first is killed, and starts them all again', async () => {
  const pids = await children(laptop().child)
  assert.is(pids.length, 1)
  await ended(laptop().child, 'SIGKILL')
  while (pids.some(isAlive)) await sleep(50)
  startAgain(laptop())
  await said(laptop(), /daemon\.started/)
  await untilRunning(laptop(), 'beta')
  await untilPinged(laptop(), '--organization', 'beta', 'peers', 'ping', SERVER)
  await untilPinged(laptop(), 'peers', 'ping', PHONE)
})

rule('removes one, whose keys stay until they are to be forgotten', async () => {
  const folder = join(laptop().folder, 'organizations', 'beta')
  await answer(laptop(), 'organization', 'remove', 'beta')
  assert.equal(await children(laptop().child), [])
  assert.ok(existsSync(join(folder, 'device.key')))
  const again = await ask(laptop(), 'organization', 'add', test.url, '--label', 'beta')
  assert.is(again.status, 0, again.stderr)
  await answer(laptop(), 'organization', 'remove', 'beta')
  await answer(laptop(), 'organization', 'remove', 'beta', '--forget')
  assert.not.ok(existsSync(folder))
  assert.is((await organizations(laptop())).length, 1)
})

rule('waits at its stop until they have ended', async () => {
  const key = await registrationKey(beta)
  const words = ['--label', 'beta', '--registration-key', key]
  await answer(laptop(), 'organization', 'add', test.url, ...words)
  const pids = await children(laptop().child)
  await ended(laptop().child, 'SIGTERM')
  assert.is(laptop().child.exitCode, 0)
  assert.equal(pids.filter(isAlive), [])
  assert.not.match(laptop().lines.join('\n'), /nrk_/)
})

rule.run()
