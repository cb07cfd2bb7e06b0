// time limit: 600 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { LabAgent } from '../../simulations/lab/agent.ts'
import type { Host } from '../../simulations/lab/ground.ts'
import type { Lab } from '../../simulations/lab/lab.ts'
import { ping, untilAnswered } from '../../simulations/lab/ping.ts'
import { ACCESS_DELAY_MS, startScene, until } from '../../simulations/lab/scene.ts'
import { openStream } from '../../simulations/lab/stream.ts'
import { needs } from '../support/needs.ts'

needs('root', 'netns', 'nft', 'wireguard-go', 'iptables', 'ping')

const LAN = '192.168.2.0/24'
/** A host of that network without an agent. */
const SERVER = '192.168.2.12'
const ADDRESS = '10.99.0.1'
const PREFIX = `${ADDRESS}/32`
const INTERVAL_MS = 10
const extra = ['--advertise-cidr', LAN, '--network-router', '--disable-nat']
const site = { delayMs: ACCESS_DELAY_MS }
/** Of the streams, one a user. */
const PORTS = { user: 7001, guest: 7002 } as const

/** Rules of hosts before any agent ran there. */
const before = new Map<string, string>()
const rulesOf = ({ namespace }: Pick<Host, 'namespace'>): Promise<string> =>
  namespace.exec('nft', '--stateless', 'list', 'ruleset')

/** The routers leave sources as they are. The server answers each connection by the router that its last packet came by;
 *  whoever holds the address leads streams to it on to the server. */
async function prepare(lab: Lab): Promise<void> {
  const [first, second, server] = [0, 1, 2].map((index) => lab.host(2, index))
  if (first === undefined || second === undefined || server === undefined) throw new Error('no LAN')
  const macs = await Promise.all(
    [first, second].map(({ namespace }) => namespace.exec('cat', '/sys/class/net/eth0/address')),
  )
  await server.namespace.batch('nft', [
    'table inet way {',
    'chain came { type filter hook prerouting priority mangle;',
    ...macs.map((mac, index) => `ether saddr ${mac.trim()} ct mark set ${index + 1}`),
    '}',
    'chain back { type route hook output priority mangle; meta mark set ct mark; }',
    '}',
  ])
  await server.namespace.batch(
    'ip',
    [first, second].flatMap(({ address }, index) => [
      `rule add fwmark ${index + 1} table ${index + 1}`,
      `route add default via ${address} table ${index + 1}`,
    ]),
  )
  const ports = Object.values(PORTS).join(', ')
  for (const { namespace } of [first, second]) {
    await namespace.batch('nft', [
      'table ip service {',
      'chain in { type nat hook prerouting priority dstnat;',
      `ip daddr ${ADDRESS} tcp dport { ${ports} } dnat to ${SERVER}; }`,
      '}',
    ])
  }
  for (const host of [lab.host(4), second]) before.set(host.namespace.name, await rulesOf(host))
}

/** The user's WireGuard is ours, over an interface: it takes what is under way from the holder before. The guest's is
 *  wireguard-go, which takes it by its alias alone. */
const rule = suite('a route that moves, as its users see it (SPEC §8.8, §8.9)')
const scene = await startScene({
  sites: [
    { kind: 'public', ...site },
    { kind: 'port', hosts: 3, ...site },
    { kind: 'public', ...site },
    { kind: 'public', ...site },
  ],
  registrySite: 3,
  prepare,
  agents: {
    user: { site: 1, extra: ['--backend', 'tun'] },
    guest: { site: 4 },
    first: { site: 2, index: 0, extra: [...extra, '--metric', '10'] },
    second: { site: 2, index: 1, extra: [...extra, '--metric', '20'] },
  },
  enrol: 'key',
})
const [user, guest, first, second] = ['user', 'guest', 'first', 'second'].map((name) =>
  scene.agent(name),
) as [LabAgent, LabAgent, LabAgent, LabAgent]
const carries = async (prefix: string, seen = user): Promise<string | undefined> =>
  (await seen.routes()).find((each) => each.prefix === prefix)?.holder
const live = async (agent: LabAgent): Promise<void> => {
  agent.start()
  await agent.started()
}
const says = (agent: LabAgent, ...words: readonly string[]): Promise<number> =>
  until(`${agent.name}: ${words.join(' ')}`, 60_000, async () => {
    return (await agent.nexctl(...words)).status === 0
  })

/** No user may lose a ping while the prefix goes. */
async function losesNone(
  target: string,
  what: string,
  move: () => Promise<unknown>,
): Promise<void> {
  const users = [user, guest]
  for (const { host } of users) await untilAnswered(host.namespace, target, 60_000)
  const pinging = users.map(({ host }) =>
    ping(host.namespace, target, { count: 600, intervalMs: INTERVAL_MS }),
  )
  await new Promise((resolve) => setTimeout(resolve, 1000))
  await move()
  const pings = await Promise.all(pinging)
  for (const [index, { sent, received }] of pings.entries()) {
    const backend = (await users[index]?.status())?.interface.backend
    process.stdout.write(`${what}: ${sent - received} of ${sent} lost by ${backend}\n`)
  }
  assert.equal(
    pings.map(({ sent, received }) => sent - received),
    [0, 0],
  )
}

/** The agent's command, while both ping. */
function losesNoneBy(target: string, from: LabAgent, ...words: readonly string[]): Promise<void> {
  return losesNone(target, words.join(' '), async () => {
    const { status, stderr } = await from.nexctl(...words)
    assert.is(status, 0, stderr)
  })
}

/** What each user's stream, open while `from` tells the prefix to go, comes to. */
async function streamsWhileMoving(
  { target, prefix, to }: { target: string; prefix: string; to: string },
  from: LabAgent,
  ...words: readonly string[]
): Promise<void> {
  const users = [user, guest]
  await using ending = new AsyncDisposableStack()
  const at = scene.lab.host(2, 2).namespace
  const streams = []
  for (const seen of users) {
    const { name, host } = seen
    const port = name === 'user' ? PORTS.user : PORTS.guest
    await untilAnswered(host.namespace, target, 60_000)
    assert.is.not(await carries(prefix, seen), to)
    streams.push(ending.use(await openStream(host.namespace, { at, address: target, port })))
  }
  await new Promise((resolve) => setTimeout(resolve, 1000))
  const { status, stderr } = await from.nexctl(...words)
  assert.is(status, 0, stderr)
  for (const seen of users) {
    const moved = async (): Promise<boolean> => (await carries(prefix, seen)) === to
    await until(`${seen.name} sees ${to} carry ${prefix}`, 60_000, moved)
  }
  await new Promise((resolve) => setTimeout(resolve, 1000))
  for (const [index, stream] of streams.entries()) {
    const [own, other] = await stream.end()
    const silence = Math.max(own.longestSilenceMs, other.longestSilenceMs)
    const backend = (await users[index]?.status())?.interface.backend
    process.stdout.write(
      `${words.join(' ')}: a stream by ${backend} is silent for ${silence.toFixed(0)} ms\n`,
    )
    assert.is(own.fault, undefined)
    assert.is(other.fault, undefined)
    assert.ok(own.sent > 100 && other.sent > 100, `${own.sent} and ${other.sent} numbers`)
    assert.equal([own.received, other.received], [other.sent, own.sent])
  }
}

rule('no answer of the old holder is lost when an address is handed over', async () => {
  assert.match((await user.nexctl('status')).stdout, /tun/)
  for (const name of ['first', 'second']) await scene.grantPrefixes(name, [LAN, PREFIX])
  for (const agent of [first, second]) await says(agent, 'route', 'advertise', PREFIX, '--standby')
  await says(first, 'route', 'advertise', PREFIX)
  await untilAnswered(user.host.namespace, ADDRESS, 60_000)
  for (const [from, to] of [
    [first, second],
    [second, first],
  ] as const) {
    await until(`${from.name} holds it`, 60_000, async () => (await carries(PREFIX)) === from.name)
    await losesNoneBy(ADDRESS, from, 'route', 'move', PREFIX, '--to', to.name)
    await until(`${to.name} holds it`, 60_000, async () => (await carries(PREFIX)) === to.name)
  }
})

rule('no packet is lost when a router drains', async () => {
  await until('first carries it', 60_000, async () => (await carries(LAN)) === 'first')
  await untilAnswered(user.host.namespace, SERVER, 60_000)
  await losesNoneBy(SERVER, first, 'router', 'drain')
  assert.is(await carries(LAN), 'second')
})

rule('nothing of the aliases stays on any host', async () => {
  for (const { name, host } of [user, guest, first, second]) {
    await until(`${name} has no alias`, 10_000, async () => {
      return !(await rulesOf(host)).includes('alias-')
    })
  }
  const routes = await guest.host.namespace.exec('ip', 'route')
  assert.not.match(routes, /^24\d\./m)
})

rule('a live TCP stream survives a drain of its router, and comes whole', async () => {
  assert.is((await first.nexctl('router', 'resume')).status, 0)
  const move = { target: SERVER, prefix: LAN, to: 'first' }
  await streamsWhileMoving(move, second, 'router', 'drain')
  assert.is((await second.nexctl('router', 'resume')).status, 0)
})

rule('a live TCP stream survives a move of its address, where the service does', async () => {
  const move = { target: ADDRESS, prefix: PREFIX, to: 'second' }
  await until('first holds it', 60_000, async () => (await carries(PREFIX)) === 'first')
  await streamsWhileMoving(move, first, 'route', 'move', PREFIX, '--to', 'second')
})

rule('nor when its daemon is stopped, which drains by itself', async () => {
  await until('first carries it', 90_000, async () => (await carries(LAN)) === 'first')
  await losesNone(SERVER, 'daemon stopped', () => first.stop())
  assert.is(await carries(LAN), 'second')
})

/** Resolves when the agent has died while aliases were in its host's rules. */
async function killedWithAliases(agent: LabAgent): Promise<void> {
  const pids = await agent.pids()
  const hasAliases = async (): Promise<boolean> => (await rulesOf(agent.host)).includes('alias-')
  await until(`${agent.name} has an alias`, 30_000, hasAliases)
  for (const pid of pids) process.kill(pid, 'SIGKILL')
  await agent.stop('SIGKILL').catch(() => undefined)
  assert.ok(await hasAliases(), `${agent.name} died too late`)
}

rule('no alias stays of agents that are killed, once they have come and gone again', async () => {
  await live(first)
  await until('first could carry it', 60_000, async () => {
    const route = (await guest.routes()).find(({ prefix }) => prefix === LAN)
    return route?.holder === 'second' && route.others.includes('first')
  })
  await untilAnswered(guest.host.namespace, SERVER, 60_000)
  // The one sends by an alias, the other takes what comes by it.
  const killed = [second, guest]
  const dying = killed.map(killedWithAliases)
  await Promise.all([second.nexctl('router', 'drain'), ...dying])
  for (const agent of killed) {
    await live(agent)
    await agent.stop()
    assert.is(await rulesOf(agent.host), before.get(agent.host.namespace.name))
  }
})

rule.after(() => scene.stop())
rule.run()
