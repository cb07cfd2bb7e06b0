// time limit: 360 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ping, untilAnswered } from '../../simulations/lab/ping.ts'
import { startScene, TWO_NATS, until } from '../../simulations/lab/scene.ts'
import { needs } from '../support/needs.ts'

needs('root', 'netns', 'nft', 'wireguard-go', 'iptables', 'ping')

const PREFIX = '10.99.0.1/32'
const ADDRESS = '10.99.0.1'
const rule = suite('a /32 that moves')
const scene = await startScene({ ...TWO_NATS, enrol: 'key' })
const [hub, laptop, phone] = [scene.agent('hub'), scene.agent('laptop'), scene.agent('phone')]

rule(
  'is refused to a device whose certificate does not allow it, and the refusal says what to do',
  async () => {
    const { status, stderr } = await laptop.nexctl('route', 'advertise', PREFIX)
    assert.is(status, 1)
    assert.match(
      stderr,
      /certificate of laptop does not allow 10\.99\.0\.1\/32 .*an admin grants prefixes/,
    )
  },
)

rule('is followed by a third host once an admin has granted it', async () => {
  for (const name of ['laptop', 'phone']) await scene.grantPrefix(name, '10.99.0.0/24')
  await until(
    'laptop may',
    20_000,
    async () => (await laptop.nexctl('route', 'advertise', PREFIX)).status === 0,
  )
  await untilAnswered(hub.host.namespace, ADDRESS)
  assert.is((await hub.routes())[0]?.holder, 'laptop')
})

rule(
  'answers from the other device after a move, without an outage longer than a second',
  async () => {
    const pinging = ping(hub.host.namespace, ADDRESS, { count: 300, intervalMs: 10 })
    await new Promise((resolve) => setTimeout(resolve, 1000))
    await until(
      'phone may',
      20_000,
      async () => (await phone.nexctl('route', 'advertise', PREFIX)).status === 0,
    )
    const { longestSilenceMs, sent, received } = await pinging
    process.stdout.write(
      `outage ${longestSilenceMs.toFixed(0)} ms, ${sent - received} of ${sent} lost\n`,
    )
    assert.ok(longestSilenceMs <= 1000, `${longestSilenceMs} ms`)
    assert.ok(received > sent / 2, `${received} of ${sent}`)
    for (const agent of [hub, laptop, phone])
      assert.is((await agent.routes())[0]?.holder, 'phone', agent.name)
    assert.ok((await hub.peer('phone'))?.allowedIps.includes(PREFIX))
    assert.not.ok((await hub.peer('laptop'))?.allowedIps.includes(PREFIX))
  },
)

rule('is given up with withdraw, and its route goes everywhere', async () => {
  assert.is((await phone.nexctl('route', 'withdraw', PREFIX)).status, 0)
  await until(
    'the laptop holds it again, whose claim stood behind',
    10_000,
    async () => (await hub.routes())[0]?.holder === 'laptop',
  )
  assert.is((await laptop.nexctl('route', 'withdraw', PREFIX)).status, 0)
  await until('nobody holds it', 30_000, async () => (await hub.routes()).length === 0)
  const { stdout } = await hub.host.namespace.attempt('ip', 'route', 'get', ADDRESS)
  assert.not.match(stdout, new RegExp(hub.options.interfaceName))
})

rule('may be a /128 as well', async () => {
  const [prefix, address] = ['fd99::1/128', 'fd99::1']
  for (const name of ['laptop', 'phone']) await scene.grantPrefix(name, 'fd99::/64')
  for (const agent of [laptop, phone]) {
    await until(
      `${agent.name} may`,
      30_000,
      async () => (await agent.nexctl('route', 'advertise', prefix)).status === 0,
    )
    await until(
      `${agent.name} holds it`,
      30_000,
      async () => (await hub.routes())[0]?.holder === agent.name,
    )
    await untilAnswered(hub.host.namespace, address)
    assert.ok((await hub.peer(agent.name))?.allowedIps.includes(prefix))
  }
  assert.not.ok((await hub.peer('laptop'))?.allowedIps.includes(prefix))
})

rule('IPv4 and IPv6 prefixes of two stay after two restarts of each (scenario 6)', async () => {
  const routers = [
    { agent: laptop, prefixes: ['10.21.0.0/16', 'fd21::/48'], loopbacks: ['10.21.0.1', 'fd21::1'] },
    { agent: phone, prefixes: ['10.22.0.0/16', 'fd22::/48'], loopbacks: ['10.22.0.1', 'fd22::1'] },
  ] as const
  const restart = async ({ agent, prefixes }: (typeof routers)[number]): Promise<void> => {
    await agent.stop()
    agent.start([], ['--advertise-cidr', ...prefixes, '--network-router'])
    await agent.started()
  }
  for (const { agent, prefixes, loopbacks } of routers) {
    await scene.grantPrefixes(agent.name, prefixes)
    for (const address of loopbacks)
      await agent.host.namespace.exec('ip', 'address', 'add', address, 'dev', 'lo')
  }
  for (const _ of ['as routers', 'once', 'twice']) {
    await Promise.all(routers.map(restart))
    for (const [index, { loopbacks }] of routers.entries()) {
      const other = routers[1 - index]?.agent.host.namespace
      for (const address of loopbacks)
        for (const from of [other, hub.host.namespace])
          if (from !== undefined) await untilAnswered(from, address, 60_000)
    }
  }
})

rule.after(() => scene.stop())
rule.run()
