// time limit: 420 s
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { LabAgent } from '../../simulations/lab/agent.ts'
import { startCapture } from '../../simulations/lab/capture.ts'
import type { Lab } from '../../simulations/lab/lab.ts'
import { untilAnswered } from '../../simulations/lab/ping.ts'
import { type SceneOptions, startScene, until } from '../../simulations/lab/scene.ts'
import { needs } from '../support/needs.ts'

needs('root', 'netns', 'nft', 'wireguard-go', 'iptables', 'ping', 'tcpdump')

/** A server of the internet that only sees who asks it. */
const [WEB, WEB6] = ['198.18.5.2', '2001:db8:5::2']
const OPTIONS: SceneOptions = {
  sites: [
    { kind: 'v6dual', hosts: 2 },
    { kind: 'public' },
    { kind: 'public' },
    { kind: 'public' },
    { kind: 'public' },
  ],
  registrySite: 4,
  prepare,
  agents: {
    laptop: { site: 1, hasNames: true },
    exit: { site: 2, extra: ['--exit-node'] },
    other: { site: 3, extra: ['--exit-node'] },
  },
  enrol: 'key',
}

/** Who answers for any name: the laptop's network, and each exit's host. */
const ANSWERS = ['192.0.2.1', '192.0.2.2', '192.0.2.3'] as const
const folders: string[] = []
process.on('exit', () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

/** `ip netns exec` mounts what is there over /etc. The laptop asks a server of its network, each exit one of its own. */
async function prepare(lab: Lab): Promise<void> {
  const neighbour = lab.host(1, 1)
  const hosts = [
    [lab.host(1), neighbour.namespace, neighbour.address, ANSWERS[0]],
    [lab.host(2), lab.host(2).namespace, '127.0.0.1', ANSWERS[1]],
    [lab.host(3), lab.host(3).namespace, '127.0.0.1', ANSWERS[2]],
  ] as const
  const script = new URL('./name-server-process.ts', import.meta.url).pathname
  for (const [host, at, address, answer] of hosts) {
    const folder = `/etc/netns/${host.namespace.name}`
    folders.push(folder)
    mkdirSync(folder, { recursive: true })
    writeFileSync(`${folder}/hosts`, '127.0.0.1\tlocalhost\n')
    writeFileSync(`${folder}/resolv.conf`, `nameserver ${address}\n`)
    const server = at.spawn(`${lab.folder}/dns${answer}.log`, process.execPath, [
      script,
      address,
      answer,
    ])
    await server.waitFor(/listening/)
  }
}

const rule = suite('exit nodes')
const scene = await startScene(OPTIONS)
const [laptop, exit, other] = ['laptop', 'exit', 'other'].map((name) => scene.agent(name)) as [
  LabAgent,
  LabAgent,
  LabAgent,
]
const web = scene.lab.host(5).namespace
/** Who does the server see, when the laptop asks it? */
async function seenAs(address: string): Promise<string> {
  const family = address.includes(':') ? ['ip6', 'icmp6'] : ['ip', 'icmp']
  const dump = web.attempt(
    ...([
      'timeout',
      '4',
      'tcpdump',
      '-lnni',
      'wan',
      '-c',
      '1',
      `${family[1]} and dst ${address}`,
    ] as const),
  )
  await new Promise((resolve) => setTimeout(resolve, 800))
  await laptop.host.namespace.attempt('ping', '-n', '-c', '2', '-i', '0.3', '-W', '1', address)
  const { stdout } = await dump
  return / (?:IP6?) (\S+) > /.exec(stdout)?.[1] ?? 'nobody'
}
/** What others may look at of the laptop's network. Which peers' WireGuard is redirected changes with their paths. */
const hostState = async (): Promise<string> =>
  (
    await laptop.host.namespace.exec(
      'sh',
      '-c',
      'ip -4 rule; ip -6 rule; ip -4 route show table all; ip -6 route show table all; nft list ruleset; sysctl -n net.ipv4.ip_forward',
    )
  )
    .split('\n')
    .filter((line) => !/fe80|ff00|multicast|counter|nexodus|expires|daddr set/.test(line))
    .join('\n')
/** The address of a name that nobody has asked for before; empty: it is not found. */
let asked = 0
const nameFound = async (): Promise<string> => {
  asked += 1
  const name = `n${asked}.example.org`
  const { stdout } = await laptop.host.namespace.attempt(
    'timeout',
    '15',
    'getent',
    'ahostsv4',
    name,
  )
  return stdout.split(' ')[0]?.trim() ?? ''
}
const use = async (...words: readonly string[]): Promise<string> => {
  const { stdout, stderr, status } = await laptop.nexctl('exit-node', ...words)
  assert.is(status, 0, stderr)
  return stdout
}
let before: string

async function untilAsBefore(): Promise<void> {
  const isSame = async (): Promise<boolean> => (await hostState()) === before
  await until('the host is as before', 20_000, isSame).catch(async () => {
    assert.is(await hostState(), before)
  })
}

rule('are offered by devices that an admin has made exits, and by no others', async () => {
  assert.match(await use('list'), /nobody offers an exit/)
  for (const name of ['exit', 'other'])
    await scene.grantPrefixes(name, ['0.0.0.0/0', '::/0'], { roles: ['exit-node'] })
  await until(
    'both are listed',
    60_000,
    async () => (await use('list')).match(/^(exit|other) +IPv4 IPv6 /gm)?.length === 2,
  )
  assert.match((await laptop.nexctl('exit-node', 'use', 'laptop')).stderr, /no peer/)
})

rule('carry everything of a host that uses one, IPv4 and IPv6 (scenario 14)', async () => {
  await untilAnswered(laptop.host.namespace, WEB)
  before = await hostState()
  assert.is(await nameFound(), ANSWERS[0])
  assert.is(await seenAs(WEB), '198.18.1.2')
  assert.match(await use('use', 'exit'), /on: exit/)
  await untilAnswered(laptop.host.namespace, WEB)
  assert.is(await seenAs(WEB), '198.18.2.2')
  assert.is(await seenAs(WEB6), '2001:db8:2::2')
})

rule('are asked for names, and nobody beside them (no DNS leak)', async () => {
  const local = await startCapture(laptop.host.namespace, 'eth0', 'port 53', scene.lab.folder)
  await until('the exit is asked', 30_000, async () => (await nameFound()) === ANSWERS[1])
  for (let count = 0; count < 5; count++) assert.is(await nameFound(), ANSWERS[1])
  assert.equal(await local.stop(), [])
})

rule('do not carry what carries them: paths stay direct, and the registry is reached', async () => {
  const status = await laptop.status()
  assert.ok(status.registry.connected)
  await until('the path to the exit is direct', 20_000, async () => {
    return (await laptop.peer('exit'))?.path === 'direct'
  })
  const endpoint = (await laptop.peer('exit'))?.endpoint ?? ''
  assert.match(endpoint, /198\.18\.2\.2|2001:db8:2::2/)
  for (const [from, to] of [
    ['51820', endpoint.replace(/^\[?(.*?)\]?:\d+$/, '$1')],
    ['51821', '198.18.3.2'],
  ] as const) {
    const { stdout } = await laptop.host.namespace.attempt(
      ...(['ip', 'route', 'get', to, 'ipproto', 'udp', 'sport', from, 'dport', '51820'] as const),
    )
    assert.match(stdout, / dev eth0 /, stdout)
  }
})

rule('are kept over a restart, in which nothing leaves by another way for good', async () => {
  await laptop.stop()
  laptop.start()
  await laptop.started()
  await until(
    'it leaves by the exit again',
    30_000,
    async () => (await seenAs(WEB)) === '198.18.2.2',
  )
})

rule('are left for another where the choice is automatic and the one in use dies', async () => {
  await use('auto')
  assert.is(await seenAs(WEB), '198.18.2.2')
  for (const pid of await exit.pids()) process.kill(pid, 'SIGKILL')
  await exit.stop('SIGKILL').catch(() => undefined)
  await until('it leaves by the other', 40_000, async () => (await seenAs(WEB)) === '198.18.3.2')
  assert.match(await use('list'), /on: other/)
})

rule('closed rather than open: with no exit left nothing leaves the host', async () => {
  await use('use', 'other')
  await other.stop()
  await until('nothing leaves', 20_000, async () => (await seenAs(WEB)) === 'nobody')
  assert.is(await seenAs(WEB6), 'nobody')
  assert.is(await nameFound(), '')
  other.start()
  await other.started()
  await until('it leaves again', 40_000, async () => (await seenAs(WEB)) === '198.18.3.2')
})

rule('do not lead where their host has a route of its own to', async () => {
  const route = (verb: string) =>
    other.host.namespace.exec('ip', 'route', verb, WEB, 'via', '198.18.3.1')
  await route('add')
  await until('it is left out', 20_000, async () => (await seenAs(WEB)) === 'nobody')
  assert.is(await seenAs(WEB6), '2001:db8:3::2')
  await route('delete')
  await until('it is led there again', 20_000, async () => (await seenAs(WEB)) === '198.18.3.2')
})

rule('leave local networks alone only where they are told to', async () => {
  const neighbour = scene.lab.host(1, 1).address
  const reaches = async (): Promise<boolean> =>
    (await laptop.host.namespace.attempt('ping', '-c1', '-W1', neighbour)).status === 0
  assert.is(await reaches(), false)
  await use('use', 'other', '--allow-local')
  assert.is(await reaches(), true)
  assert.is(await seenAs(WEB), '198.18.3.2')
  assert.is(await nameFound(), ANSWERS[2])
})

rule(
  'leave nothing on the host when they are switched off, nor after a crash (defect 16)',
  async () => {
    await use('off')
    assert.is(await seenAs(WEB), '198.18.1.2')
    await until('the local server is asked', 30_000, async () => (await nameFound()) === ANSWERS[0])
    await untilAsBefore()
    await use('auto')
    for (const pid of await laptop.pids()) process.kill(pid, 'SIGKILL')
    await laptop.stop('SIGKILL').catch(() => undefined)
    laptop.start()
    await laptop.started()
    await use('off')
    await untilAsBefore()
  },
)

rule.after(() => scene.stop())
rule.run()
