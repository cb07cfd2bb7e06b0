// time limit: 600 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { LabAgent } from '../../simulations/lab/agent.ts'
import { type Pings, ping, untilAnswered } from '../../simulations/lab/ping.ts'
import { ACCESS_DELAY_MS, startScene, until } from '../../simulations/lab/scene.ts'
import { needs } from '../support/needs.ts'

needs('root', 'netns', 'nft', 'wireguard-go', 'iptables', 'ping')

const LAN = '192.168.2.0/24'
/** A host of that network without an agent. */
const SERVER = '192.168.2.12'
const ADDRESS = '10.99.0.1'
const PREFIX = `${ADDRESS}/32`
const INTERVAL_MS = 10
const extra = ['--advertise-cidr', LAN, '--network-router']
const site = { delayMs: ACCESS_DELAY_MS }

/** The user's WireGuard is ours, over an interface: it takes what is under way from the holder before. */
const rule = suite(
  'a route that moves, as a user sees it whose WireGuard is inside the agent (SPEC §8.8)',
)
const scene = await startScene({
  sites: [
    { kind: 'public', ...site },
    { kind: 'port', hosts: 3, ...site },
    { kind: 'public', ...site },
  ],
  registrySite: 3,
  agents: {
    user: { site: 1, extra: ['--backend', 'tun'] },
    first: { site: 2, index: 0, extra: [...extra, '--metric', '10'] },
    second: { site: 2, index: 1, extra: [...extra, '--metric', '20'] },
  },
  enrol: 'key',
})
const [user, first, second] = ['user', 'first', 'second'].map((name) => scene.agent(name)) as [
  LabAgent,
  LabAgent,
  LabAgent,
]
const carries = async (prefix: string): Promise<string | undefined> =>
  (await user.routes()).find((each) => each.prefix === prefix)?.holder
const says = (agent: LabAgent, ...words: readonly string[]): Promise<number> =>
  until(`${agent.name}: ${words.join(' ')}`, 60_000, async () => {
    return (await agent.nexctl(...words)).status === 0
  })

/** What the user loses of pings while `from` tells the prefix to go. */
async function whileMoving(
  target: string,
  from: LabAgent,
  ...words: readonly string[]
): Promise<Pings> {
  const pinging = ping(user.host.namespace, target, { count: 600, intervalMs: INTERVAL_MS })
  await new Promise((resolve) => setTimeout(resolve, 1000))
  const { status, stderr } = await from.nexctl(...words)
  assert.is(status, 0, stderr)
  const pings = await pinging
  process.stdout.write(`${words.join(' ')}: ${pings.sent - pings.received} of ${pings.sent} lost\n`)
  return pings
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
    const pings = await whileMoving(ADDRESS, from, 'route', 'move', PREFIX, '--to', to.name)
    await until(`${to.name} holds it`, 60_000, async () => (await carries(PREFIX)) === to.name)
    assert.is(pings.sent - pings.received, 0)
  }
})

rule('no packet is lost when a router drains', async () => {
  await until('first carries it', 60_000, async () => (await carries(LAN)) === 'first')
  await untilAnswered(user.host.namespace, SERVER, 60_000)
  const pings = await whileMoving(SERVER, first, 'router', 'drain')
  assert.is(await carries(LAN), 'second')
  assert.is(pings.sent - pings.received, 0)
})

rule('nor when its daemon is stopped, which drains by itself', async () => {
  assert.is((await first.nexctl('router', 'resume')).status, 0)
  await until('first carries it', 90_000, async () => (await carries(LAN)) === 'first')
  const pinging = ping(user.host.namespace, SERVER, { count: 600, intervalMs: INTERVAL_MS })
  await new Promise((resolve) => setTimeout(resolve, 1000))
  await first.stop()
  const { sent, received } = await pinging
  process.stdout.write(`daemon stopped: ${sent - received} of ${sent} lost\n`)
  assert.is(await carries(LAN), 'second')
  assert.is(sent - received, 0)
})

rule.after(() => scene.stop())
rule.run()
