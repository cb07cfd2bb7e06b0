// time limit: 180 s
/** A pair that only a relay joins, one of which leaves by an exit: what carries the pair must not go by the exit. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { startCapture } from '../../simulations/lab/capture.ts'
import { ping, untilAnswered } from '../../simulations/lab/ping.ts'
import { startScene, until } from '../../simulations/lab/scene.ts'
import { needs } from '../support/needs.ts'

needs('root', 'netns', 'nft', 'wireguard-go', 'iptables', 'ping', 'tcpdump')

/** Two hosts that no hole leads to, the relay near both, an exit and the registry farther off, and a server of the internet
 *  that only sees who asks it. */
const scene = await startScene({
  sites: [
    { kind: 'symm', delayMs: 2 },
    { kind: 'symm', delayMs: 2 },
    { kind: 'public', delayMs: 2 },
    { kind: 'public', delayMs: 15 },
    { kind: 'public', delayMs: 25 },
    { kind: 'public' },
  ],
  registrySite: 5,
  agents: {
    laptop: { site: 1 },
    phone: { site: 2 },
    relay: { site: 3 },
    exit: { site: 4, extra: ['--exit-node'] },
  },
  enrol: 'key',
})
const rule = suite('a relayed pair, one of which uses an exit')
const [laptop, phone] = [scene.agent('laptop'), scene.agent('phone')]
const [laptop4 = ''] = await laptop.addresses()
const [phone4 = ''] = await phone.addresses()
const SERVERS = [3, 4, 5].map((site) => `host ${scene.lab.host(site).address}`).join(' or ')
const web = scene.lab.host(6)
const [RELAY, EXIT] = [3, 4].map((site) => scene.lab.host(site).address)
const from = laptop.host.namespace

/** Which address the server sees of the laptop's network when the laptop asks it. */
async function seenAs(): Promise<string> {
  const capture = await startCapture(web.namespace, 'wan', `icmp[0] == 8`, scene.lab.folder)
  await from.attempt('ping', '-n', '-c', '2', '-i', '0.2', '-W', '1', web.address)
  return [...new Set((await capture.stop()).map(({ source }) => source))].join(' ')
}

async function use(...words: readonly string[]): Promise<string> {
  const { stdout, stderr, status } = await laptop.nexctl('exit-node', ...words)
  assert.is(status, 0, stderr)
  return stdout
}

/** By the member that relays, and by UDP, at both ends. */
async function isRelayed(): Promise<boolean> {
  const found = await Promise.all([laptop.peer('phone'), phone.peer('laptop')])
  return found.every((peer) => peer?.relay?.name === 'relay' && peer.relay.by === 'udp')
}

/** What passes of pings both ways, and where the laptop's packets go for it. */
async function look() {
  const { folder } = scene.lab
  const [outside, inside] = await Promise.all([
    startCapture(scene.lab.router(1), 'wan', `udp and host ${RELAY} and greater 1000`, folder),
    startCapture(from, laptop.options.interfaceName, SERVERS, folder),
  ])
  const [there, back] = await Promise.all([
    from.attempt('ping', '-n', '-c', '20', '-i', '0.05', '-s', '1000', phone4),
    ping(phone.host.namespace, laptop4, { count: 20, intervalMs: 50 }),
  ])
  return {
    answered: [Number(/(\d+) received/.exec(there.stdout)?.[1]), back.received],
    toRelay: (await outside.stop()).length,
    inTunnel: await inside.stop(),
  }
}

/** By the laptop's own network to the relay, and nothing of what carries the tunnel in the tunnel. A machine that others use
 *  too loses a packet now and then, and takes another relay for a while. */
async function assertPairGoesOn(): Promise<void> {
  await until('the pair goes on by its relay', 30_000, async () => {
    const { answered, toRelay, inTunnel } = await look()
    assert.equal(inTunnel, [], 'nothing of the underlay is in the tunnel')
    return answered.every((count) => count >= 18) && toRelay >= 36 && (await isRelayed())
  })
}

/** What others may look at of the laptop's routing. */
async function routing(): Promise<string> {
  const words = 'ip -4 rule; ip -6 rule; ip -4 route show table all; ip -6 route show table all'
  return (await from.exec('sh', '-c', words))
    .split('\n')
    .filter((line) => !/fe80|ff00|multicast|expires/.test(line))
    .join('\n')
}
let before = ''

rule('is joined by the relay before', async () => {
  await scene.grantPrefixes('exit', ['0.0.0.0/0', '::/0'], { roles: ['exit-node'] })
  await untilAnswered(from, phone4)
  await untilAnswered(phone.host.namespace, laptop4)
  await until('both are by the relay', 60_000, isRelayed)
  await until('the exit is listed', 30_000, async () => /^exit +IPv4/m.test(await use('list')))
  before = await routing()
  assert.is(await seenAs(), '198.18.1.2')
  await assertPairGoesOn()
})

rule('goes on without a gap when the exit is taken, and by the same way', async () => {
  const pinging = ping(from, phone4, { count: 100, intervalMs: 20 })
  assert.match(await use('use', 'exit'), /on: exit/)
  const { longestSilenceMs } = await pinging
  process.stdout.write(`exit taken: ${longestSilenceMs.toFixed(0)} ms of silence\n`)
  assert.ok(longestSilenceMs < 2000, `${longestSilenceMs} ms`)
  await until('it leaves by the exit', 20_000, async () => (await seenAs()) === EXIT)
  await assertPairGoesOn()
  assert.ok((await laptop.status()).registry.connected)
})

rule(
  'finds the relay and the registry again beside the exit when its network was away',
  async () => {
    await from.exec('ip', 'link', 'set', 'eth0', 'down')
    await new Promise((resolve) => setTimeout(resolve, 1000))
    await from.batch('ip', ['link set eth0 up', 'route replace default via 192.168.1.1 dev eth0'])
    await untilAnswered(from, phone4, 60_000)
    await until('it leaves by the exit again', 40_000, async () => (await seenAs()) === EXIT)
    const isConnected = async () => (await laptop.status()).registry.connected
    await until('the registry is connected', 30_000, isConnected)
    await assertPairGoesOn()
  },
)

rule('is as before when the exit is off', async () => {
  assert.match(await use('off'), /off/)
  assert.is(await seenAs(), '198.18.1.2')
  await until('routing is as before', 20_000, async () => (await routing()) === before).catch(
    async () => assert.is(await routing(), before),
  )
  await assertPairGoesOn()
})

rule.after(() => scene.stop())
rule.run()
