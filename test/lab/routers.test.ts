// time limit: 420 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { LabAgent } from '../../simulations/lab/agent.ts'
import { ping, untilAnswered } from '../../simulations/lab/ping.ts'
import { type SceneOptions, startScene, until } from '../../simulations/lab/scene.ts'
import { needs } from '../support/needs.ts'

needs('root', 'netns', 'nft', 'wireguard-go', 'iptables', 'ping')

const [LAN, LAN6] = ['192.168.2.0/24', 'fd77:2::/64']
/** A host of that network without an agent. */
const [SERVER, SERVER6] = ['192.168.2.12', 'fd77:2::12']
/** A network behind both routers by cables of its own, and that host's address in it. Nobody probes it. */
const [BACK, BEHIND] = ['10.50.0.0/24', '10.50.0.12']
const extra = ['--advertise-cidr', LAN, LAN6, BACK, '--network-router', '--probe', `icmp:${SERVER}`]
const OPTIONS: SceneOptions = {
  sites: [{ kind: 'public' }, { kind: 'port', hosts: 3 }, { kind: 'public' }],
  registrySite: 3,
  agents: {
    user: { site: 1 },
    first: { site: 2, index: 0, extra: [...extra, '--metric', '10'] },
    second: { site: 2, index: 1, extra: [...extra, '--metric', '20'] },
  },
  prepare: async (lab) => {
    for (const index of [0, 1, 2])
      await lab
        .host(2, index)
        .namespace.exec('ip', 'address', 'add', `fd77:2::1${index}/64`, 'dev', 'eth0')
    const { namespace: server } = lab.host(2, 2)
    await server.batch('ip', [
      'link add back type bridge',
      'link set back up',
      `address add ${BEHIND}/24 dev back`,
    ])
    for (const index of [0, 1]) {
      const { namespace: router } = lab.host(2, index)
      await server.batch('ip', [
        `link add back${index} type veth peer name eth1 netns ${router.name}`,
        `link set back${index} up master back`,
      ])
      await router.batch('ip', ['link set eth1 up', `address add 10.50.0.1${index}/24 dev eth1`])
    }
  },
  enrol: 'key',
}

/** Between pings while a router is drained. */
const INTERVAL_MS = 10

const rule = suite('routers of one network')
const scene = await startScene(OPTIONS)
const [user, first, second] = ['user', 'first', 'second'].map((name) => scene.agent(name)) as [
  LabAgent,
  LabAgent,
  LabAgent,
]
const carrier = async (of = LAN): Promise<string | undefined> =>
  (await user.routes()).find(({ prefix }) => prefix === of)?.holder
const becomes = (name: string, timeoutMs = 20_000, of = LAN): Promise<number> =>
  until(`${name} carries ${of}`, timeoutMs, async () => (await carrier(of)) === name)
const rulesOf = (agent: LabAgent): Promise<string> =>
  agent.host.namespace.exec('nft', 'list', 'tables')
/** The cable between the first and what is behind it. */
const pull = (way: 'down' | 'up'): Promise<string> =>
  scene.lab.host(2, 2).namespace.exec('ip', 'link', 'set', 'back0', way)
const said = async (): Promise<string> => (await first.nexctl('router', 'status')).stdout
const isOffered = async (): Promise<boolean> => /10\.50\.0\.0\/24 active/.test(await said())
const switchesOf = (agent: LabAgent): Promise<string> =>
  agent.host.namespace.exec('sysctl', '-n', 'net.ipv4.ip_forward', 'net.ipv6.conf.all.forwarding')

rule('lead nobody anywhere before an admin has granted the prefixes', async () => {
  assert.equal(await user.routes(), [])
  assert.ok(first.lines.some((line) => line.includes('route.not-allowed')))
  assert.not.match(await rulesOf(first), /nexodus-router/)
  assert.is(await switchesOf(first), '0\n0\n')
})

rule('carry IPv4 and IPv6 to hosts without an agent once they may (scenario 11)', async () => {
  for (const name of ['first', 'second']) await scene.grantPrefixes(name, [LAN, LAN6, BACK])
  await becomes('first', 60_000)
  await untilAnswered(user.host.namespace, SERVER)
  await untilAnswered(user.host.namespace, SERVER6)
  const route = (await user.routes()).find(({ prefix }) => prefix === LAN)
  assert.equal(route?.others, ['second'])
  assert.is(route?.claims.length, 2)
  // The routers themselves are in that network: it stays theirs.
  for (const agent of [first, second]) {
    assert.is((await agent.host.namespace.attempt('ping', '-c1', '-W2', SERVER)).status, 0)
  }
})

rule(
  'are left within seconds for what lies behind a cable that is pulled, and say so',
  async () => {
    await becomes('first', 60_000, BACK)
    await untilAnswered(user.host.namespace, BEHIND)
    const pinging = ping(user.host.namespace, BEHIND, { count: 800, intervalMs: 10 })
    await new Promise((resolve) => setTimeout(resolve, 1000))
    await pull('down')
    await becomes('second', 60_000, BACK)
    const { longestSilenceMs } = await pinging
    process.stdout.write(`cable pulled: ${longestSilenceMs.toFixed(0)} ms of silence\n`)
    await untilAnswered(user.host.namespace, BEHIND)
    assert.match(await said(), /10\.50\.0\.0\/24 draining: eth1 has no carrier/)
    assert.match(await said(), /192\.168\.2\.0\/24 active/)
    assert.is(await carrier(), 'first')
    await pull('up')
    await until('it is offered again', 60_000, isOffered)
  },
)

rule('drained, lose no packet of those who use them but what was under way', async () => {
  const pinging = ping(user.host.namespace, SERVER, { count: 400, intervalMs: INTERVAL_MS })
  await new Promise((resolve) => setTimeout(resolve, 500))
  const { stdout, status } = await first.nexctl('router', 'drain')
  assert.is(status, 0)
  assert.match(stdout, /nothing passes any more/)
  const { sent, received, timesMs } = await pinging
  process.stdout.write(`drained: ${sent - received} of ${sent} lost\n`)
  // What is answered by the first when the user has left it is lost: as many as a slow machine has under way.
  const underWay = Math.floor(Math.max(...timesMs) / INTERVAL_MS)
  assert.ok(sent - received <= 2 + underWay, `${sent - received} of ${sent}, ${underWay} under way`)
  assert.is(await carrier(), 'second')
  assert.is((await first.nexctl('router', 'resume')).status, 0)
})

rule('are left within seconds when the target behind them is not reached', async () => {
  const pinging = ping(user.host.namespace, SERVER, { count: 800, intervalMs: 10 })
  await new Promise((resolve) => setTimeout(resolve, 1000))
  await second.host.namespace.exec('ip', 'route', 'add', 'blackhole', `${SERVER}/32`)
  await becomes('first')
  const { longestSilenceMs } = await pinging
  process.stdout.write(`target lost: ${longestSilenceMs.toFixed(0)} ms of silence\n`)
  assert.ok(longestSilenceMs < 8000, `${longestSilenceMs} ms`)
  const route = (await user.routes()).find(({ prefix }) => prefix === LAN)
  assert.match(route?.why ?? '', /target behind the one before/)
  await second.host.namespace.exec('ip', 'route', 'delete', 'blackhole', `${SERVER}/32`)
})

rule('are left within seconds when they die', async () => {
  const pinging = ping(user.host.namespace, SERVER, { count: 800, intervalMs: 10 })
  await new Promise((resolve) => setTimeout(resolve, 1000))
  for (const pid of await first.pids()) process.kill(pid, 'SIGKILL')
  await first.stop('SIGKILL').catch(() => undefined)
  await becomes('second')
  const { longestSilenceMs } = await pinging
  process.stdout.write(`router dead: ${longestSilenceMs.toFixed(0)} ms of silence\n`)
  assert.ok(longestSilenceMs < 8000, `${longestSilenceMs} ms`)
})

rule('take away at the next start what the crash left, and at a stop what they made', async () => {
  assert.match(await rulesOf(first), /nexodus-router/)
  first.start()
  await first.started()
  await until('it forwards again', 20_000, async () => /nexodus-router/.test(await rulesOf(first)))
  await first.stop()
  assert.is((await rulesOf(first)).trim(), '')
  assert.is(await switchesOf(first), '0\n0\n')
})

rule('offer nothing behind a cable that is out at their start, and its route gone', async () => {
  const address = ['10.50.0.10/24', 'dev', 'eth1']
  await pull('down')
  await first.host.namespace.exec('ip', 'address', 'delete', ...address)
  first.start()
  await first.started()
  assert.match(await said(), /10\.50\.0\.0\/24 draining: eth1 has no carrier/)
  assert.match(await said(), /192\.168\.2\.0\/24 active/)
  await first.host.namespace.exec('ip', 'address', 'add', ...address)
  await pull('up')
  await until('it is offered again', 60_000, isOffered)
  await first.stop()
})

rule(
  'leave every agent’s tunnel and routing table with their prefix (defects 9, 10, 15)',
  async () => {
    first.start()
    await first.started()
    const kept = async (): Promise<string> =>
      `${await user.host.namespace.exec('wg', 'show', user.options.interfaceName, 'allowed-ips')}
     ${await user.host.namespace.exec('ip', 'route')}${await user.host.namespace.exec('ip', '-6', 'route')}`
    assert.match(await kept(), new RegExp(LAN))
    // One is dropped, the other kept: of both families, and only what was dropped goes.
    for (const agent of [first, second])
      assert.is((await agent.nexctl('route', 'withdraw', LAN)).status, 0)
    await until('the IPv4 prefix is gone', 30_000, async () => !(await kept()).includes(LAN))
    assert.ok((await kept()).includes(LAN6))
    await untilAnswered(user.host.namespace, SERVER6)
    assert.is((await user.host.namespace.attempt('ping', '-c1', '-W1', SERVER)).status, 1)
    await scene.removeDevice('first')
    await scene.removeDevice('second')
    await until('the device’s prefix is gone', 30_000, async () => !(await kept()).includes(LAN6))
  },
)

rule.after(() => scene.stop())
rule.run()
