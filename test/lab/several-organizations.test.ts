// time limit: 900 s
/** One agent in three organizations: its own, one that is hostile, and one whose IPv4 range is the same as its own. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { z } from 'zod'
import { NAMES, type NamesReport } from '../../agent/control/names-report.ts'
import { ORGANIZATIONS, type OrganizationReport } from '../../agent/control/organization-report.ts'
import { PEERS } from '../../agent/control/reports.ts'
import { ROUTES, type RouteReport } from '../../agent/control/route-report.ts'
import type { Lab } from '../../simulations/lab/lab.ts'
import { ping, untilAnswered } from '../../simulations/lab/ping.ts'
import { type Scene, startScene, until } from '../../simulations/lab/scene.ts'
import { startVisitor } from '../../simulations/lab/visitor.ts'
import { needs } from '../support/needs.ts'

needs('root', 'netns', 'nft', 'wireguard-go', 'iptables', 'ping')

const HOSTS = '127.0.0.1\tlocalhost\n'
/** An address of the internet that nobody here needs. */
const INTERNET = '203.0.113.9'
let hostsFile = ''
async function prepare(lab: Lab): Promise<void> {
  const folder = `/etc/netns/${lab.host(1).namespace.name}`
  mkdirSync(folder, { recursive: true })
  hostsFile = `${folder}/hosts`
  writeFileSync(hostsFile, HOSTS)
  writeFileSync(`${folder}/resolv.conf`, 'nameserver 127.0.0.1\n')
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
}

const scene: Scene = await startScene({
  sites: Array.from({ length: 5 }, () => ({ kind: 'public' }) as const),
  registrySite: 4,
  agents: { laptop: { site: 1, hasNames: true } },
  enrol: 'later',
  prepare,
})
const host = scene.lab.host(1).namespace
const before = await hostState()

// The hostile admin, with a range beside those of the others, and the third organization, with the usual one.
const mallory = startVisitor(scene.lab.core)
const credentials = { email: 'mallory@example.org', password: 'entirely different words' }
const link = z.string().parse(await scene.person.ask({ kind: 'invite' }))
await mallory.ask({ kind: 'set-up', url: link, ...credentials })
await mallory.ask({ kind: 'sign-in', url: scene.registryUrl, ...credentials })
const ID = z.object({ id: z.string() })
const [evil, twin] = [
  await made('evil', { ipv4Range: '10.77.0.0/16' }),
  await made('twin', {}),
] as const

const keys = {
  ada: await scene.registrationKey(),
  evil: await keyOf(evil),
  twin: await keyOf(twin),
}
const phone = scene.addAgent('phone', 2, 0, keys.ada)
const server = scene.addAgent('server', 3, 0, keys.evil)
const tablet = scene.addAgent('tablet', 5, 0, keys.twin)
const agent = scene.addAgent('laptop', 1, 0, keys.ada)
/** Milliseconds: this machine may have better things to do. */
const PATIENCE_MS = 240_000
for (const each of [phone, server, tablet, agent]) {
  each.start()
  await each.started(PATIENCE_MS)
}

function byMallory(method: string, path: string, body?: unknown): Promise<unknown> {
  return mallory.ask({ kind: 'call', method, path: `/v1/organizations${path}`, body })
}

async function made(name: string, ranges: object): Promise<string> {
  return ID.parse(await byMallory('POST', '', { name, ...ranges })).id
}

async function keyOf(organization: string): Promise<string> {
  const body = { description: 'lab', singleUse: false }
  const key = await byMallory('POST', `/${organization}/registration-keys`, body)
  return z.object({ key: z.string() }).parse(key).key
}

/** All that an agent changes on its host. */
async function hostState(): Promise<string> {
  const commands = [
    ...['ip -br link', 'ip -br address', 'ip -4 rule', 'ip -6 rule', 'nft list ruleset'],
    ...['ip -4 route show table all', 'ip -6 route show table all', 'ss -Hlun', 'ss -Hltn'],
  ]
  const text = await host.exec('sh', '-c', commands.join('; '))
  return text
    .split('\n')
    .filter((line) => !/expires/.test(line))
    .concat(readFileSync(hostsFile, 'utf8'))
    .join('\n')
}

async function asked<T>(shape: z.ZodType<T>, ...words: readonly string[]): Promise<T> {
  const { status, stdout, stderr } = await agent.nexctl('--output', 'json', ...words)
  if (status !== 0) throw new Error(`${stderr}\n${agent.lines.slice(-20).join('\n')}`)
  return shape.parse(JSON.parse(stdout))
}

const organizations = (): Promise<readonly OrganizationReport[]> =>
  asked(ORGANIZATIONS, 'organization', 'list', '--local')

async function routeOf(label: string, prefix: string): Promise<RouteReport | undefined> {
  const routes = await asked(ROUTES, '--organization', label, 'route', 'list')
  return routes.find((each) => each.prefix === prefix)
}

const namesOf = (label: string): Promise<NamesReport> =>
  asked(NAMES, '--organization', label, 'names')

/** What the first organization has on the host. */
async function firstState(): Promise<string> {
  const device = agent.options.interfaceName
  const [v4 = ''] = await phone.addresses()
  const [peer] = await asked(PEERS, 'peers', 'list')
  const paths = await host.exec(
    'sh',
    '-c',
    `ip -4 route show dev ${device}; ip -6 route show dev ${device} proto 78; ip route get ${v4}; ip route get ${INTERNET}; ip -4 rule; ip -6 rule`,
  )
  const { domain, forwards } = await namesOf('first')
  const wanted = { allowedIps: peer?.allowedIps, domain, forwards, short: await found('phone') }
  return `${paths.replaceAll(/ (cache|uid \d+|expires \S+)/g, '')}\n${JSON.stringify(wanted)}`
}

/** As programs of the host find it. */
async function found(name: string): Promise<string> {
  const { stdout } = await host.attempt('getent', 'ahosts', name)
  const addresses = stdout.split('\n').flatMap((line) => line.split(' ')[0] || [])
  return [...new Set(addresses)].toSorted().join(' ')
}

async function allAnswer(): Promise<void> {
  const [v4 = '', v6 = ''] = await phone.addresses()
  await untilAnswered(host, v4, PATIENCE_MS)
  await untilAnswered(host, v6, PATIENCE_MS)
  for (const address of await server.addresses()) await untilAnswered(host, address, PATIENCE_MS)
  await untilAnswered(host, (await tablet.addresses())[1] ?? '', PATIENCE_MS)
}

const rule = suite('one agent in several organizations')

rule('reaches a second one by both families, where the ranges are disjoint', async () => {
  const add = ['organization', 'add', `${scene.registryUrl}#${evil}`, '--label', 'evil']
  const { status, stdout, stderr } = await agent.nexctl(...add, '--registration-key', keys.evil)
  assert.is(status, 0, stderr)
  assert.match(stdout, /^in evil, called evil here, as 10\.77\.0\.\d+ fd[0-9a-f:]+ on \S+-1\n$/)
  for (const address of await server.addresses()) await untilAnswered(host, address, PATIENCE_MS)
  for (const address of await phone.addresses()) await untilAnswered(host, address, PATIENCE_MS)
})

rule('carries one with the same IPv4 range by IPv6 alone, and says so', async () => {
  const add = ['organization', 'add', `${scene.registryUrl}#${twin}`, '--label', 'twin']
  const { status, stdout, stderr } = await agent.nexctl(...add, '--registration-key', keys.twin)
  assert.is(status, 0, stderr)
  assert.match(stdout, /carried by IPv6 alone: 100\.64\.0\.0\/10 overlaps 100\.64\.0\.0\/10 of ada/)
  const [, v6 = ''] = await tablet.addresses()
  await untilAnswered(host, v6, PATIENCE_MS)
  const own = (await organizations()).find(({ label }) => label === 'twin')
  assert.equal(
    own?.addresses.map((address) => address.includes(':')),
    [true],
  )
  // The same address in both: it is the first one's.
  assert.is((await tablet.addresses())[0], (await phone.addresses())[0])
  await untilAnswered(host, (await phone.addresses())[0] ?? '', PATIENCE_MS)
  const status6 = await agent.nexctl('--organization', 'twin', 'peers', 'ping', 'tablet')
  assert.match(status6.stdout, /^tablet fd/)
})

rule('finds the names of each in its own domain, and short ones in the first', async () => {
  const [first, second] = [await phone.addresses(), await server.addresses()]
  const [, third = ''] = await tablet.addresses()
  await until('names', PATIENCE_MS, async () => (await found('tablet.twin.nexodus')) === third)
  assert.is(await found('phone.ada.nexodus'), first.toSorted().join(' '))
  assert.is(await found('phone'), first.toSorted().join(' '))
  assert.is(await found('server.evil.nexodus'), second.toSorted().join(' '))
  assert.is(await found('server'), '')
})

rule('loses nothing of the first to a hostile admin of the second', async () => {
  await scene.call('PUT', 'names', {
    records: [],
    forwards: [{ domain: 'corp.example', resolvers: ['100.64.0.1:53'] }],
  })
  await until(
    'the forward',
    PATIENCE_MS,
    async () => (await namesOf('first')).forwards.length === 1,
  )
  const state = await firstState()
  const [v4 = '', v6 = ''] = await phone.addresses()
  const pinging = ping(host, v4, { count: 200, intervalMs: 200, waitMs: 20_000 })

  const stolen = ['100.64.0.0/10', `${v4}/32`, `${v6}/128`, '0.0.0.0/0', '::/0', '128.0.0.0/1']
  const { devices } = z
    .object({ devices: z.array(z.object({ id: z.string(), name: z.string() })) })
    .parse(await byMallory('GET', `/${evil}/devices`))
  const id = devices.find(({ name }) => name === 'server')?.id
  await byMallory('PATCH', `/${evil}/devices/${id}`, {
    prefixes: [...stolen, '192.168.77.0/24'],
    roles: ['exit-node', 'router'],
  })
  await byMallory('PUT', `/${evil}/names`, {
    records: [{ kind: 'address', name: 'phone', value: '10.77.0.1' }],
    forwards: [{ domain: 'vpn.corp.example', resolvers: ['10.77.0.1:53'] }],
  })
  await byMallory('PATCH', `/${evil}`, { name: 'ada' })
  for (const prefix of [...stolen, '192.168.77.0/24'])
    await until(`${prefix} is advertised`, PATIENCE_MS, async () => {
      const { status } = await server.nexctl('route', 'advertise', prefix)
      return status === 0
    })

  // What it may have comes; by then the rest has come, too.
  await until('a route of its own', PATIENCE_MS, async () =>
    (await host.exec('ip', 'route', 'show', '192.168.77.0/24')).includes('-1 '),
  )
  await until(
    'the names',
    PATIENCE_MS,
    async () => (await namesOf('evil')).domain === `${evil}.nexodus`,
  )
  for (const prefix of ['100.64.0.0/10', `${v4}/32`, `${v6}/128`, '128.0.0.0/1']) {
    const refused = await routeOf('evil', prefix)
    assert.is(refused?.holder, '', prefix)
    assert.match(refused?.why ?? '', /^refused: .*(overlaps .* of ada|the limit of \/8)/)
  }
  const { forwards, obstacles } = await namesOf('evil')
  assert.equal(forwards, [])
  assert.match(obstacles.join(), new RegExp(`organization ${scene.organization}, of a like name`))
  const listed = (await organizations()).find(({ label }) => label === 'evil')
  assert.match(listed?.refused.join('\n') ?? '', /vpn\.corp\.example overlaps corp\.example/)
  assert.match(agent.lines.join('\n'), /organization\.refused.*"evil".*100\.64\.0\.0\/10/)

  assert.is(await firstState(), state)
  assert.is(await found('phone.ada.nexodus'), [v4, v6].toSorted().join(' '))
  const { sent, received } = await pinging
  assert.is(received, sent)
})

rule('gives the exit to one at a time', async () => {
  const used = await agent.nexctl('--organization', 'evil', 'exit-node', 'use', 'server')
  assert.is(used.status, 0, used.stderr)
  const ofEvil = (address: string) => async (): Promise<boolean> =>
    (await host.exec('ip', 'route', 'get', address)).includes('-1 ')
  await until('the exit', PATIENCE_MS, ofEvil(INTERNET))
  // What is the first one's goes its way all the same.
  const [v4 = ''] = await phone.addresses()
  assert.not.ok(await ofEvil(v4)())
  await untilAnswered(host, v4, PATIENCE_MS)
  const second = await agent.nexctl('exit-node', 'auto')
  assert.is(second.status, 1)
  assert.match(second.stderr, /by an exit of .* \(end that first: nexctl --organization evil/)
  const ended = await agent.nexctl('--organization', 'evil', 'exit-node', 'off')
  assert.is(ended.status, 0, ended.stderr)
  await until('no exit', PATIENCE_MS, async () => !(await ofEvil(INTERNET)()))
})

rule('is as it was after kill -9 and a new start', async () => {
  const state = await firstState()
  assert.ok((await agent.pids()).length >= 3)
  await agent.process.stop('SIGKILL', PATIENCE_MS)
  agent.start()
  await agent.started(PATIENCE_MS)
  await until('all of them', PATIENCE_MS, async () =>
    (await organizations()).every(({ state: is }) => is === 'running'),
  )
  await allAnswer()
  await until('the same', PATIENCE_MS, async () => (await firstState()) === state)
  assert.is((await routeOf('evil', '100.64.0.0/10'))?.holder, '')
})

rule('leaves nothing when it stops', async () => {
  await agent.process.stop('SIGTERM', PATIENCE_MS)
  assert.is(await hostState(), before)
})

rule('leaves nothing when all was killed at once, and it is started and stopped', async () => {
  agent.start()
  await agent.started(PATIENCE_MS)
  await allAnswer()
  for (const pid of await agent.pids()) process.kill(pid, 'SIGKILL')
  await agent.process.stop('SIGKILL', PATIENCE_MS)
  agent.start()
  await agent.started(PATIENCE_MS)
  await allAnswer()
  await agent.process.stop('SIGTERM', PATIENCE_MS)
  assert.is(await hostState(), before)
})

rule.after(async () => {
  mallory[Symbol.dispose]()
  await scene.stop()
})
rule.run()
