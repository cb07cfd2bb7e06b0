// time limit: 360 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { LabAgent } from '../../simulations/lab/agent.ts'
import { type Pings, ping, untilAnswered } from '../../simulations/lab/ping.ts'
import { startScene, TWO_NATS, until } from '../../simulations/lab/scene.ts'
import { needs } from '../support/needs.ts'

needs('root', 'netns', 'nft', 'wireguard-go', 'iptables', 'ping')

const PREFIX = '10.99.0.1/32'
const ADDRESS = '10.99.0.1'
/** Milliseconds between two echoes. */
const INTERVAL_MS = 10
const rule = suite('an address with a standby')
const scene = await startScene({ ...TWO_NATS, enrol: 'key' })
const [hub, laptop, phone] = ['hub', 'laptop', 'phone'].map((name) => scene.agent(name)) as [
  LabAgent,
  LabAgent,
  LabAgent,
]
const holder = async (seen: LabAgent): Promise<string | undefined> =>
  (await seen.routes())[0]?.holder
const isHeldBy = (name: string, seen: LabAgent = hub): Promise<number> =>
  until(`${seen.name} sees ${name} hold it`, 30_000, async () => (await holder(seen)) === name)
const lost = ({ sent, received }: Pings): number => sent - received
/** What the old holder answers when the asker has left it is lost: as many as a slow machine has under way. */
const mayBeLost = ({ timesMs }: Pings): number =>
  12 + Math.floor(Math.max(...timesMs) / INTERVAL_MS)
const says = async (agent: LabAgent, ...words: readonly string[]): Promise<void> => {
  await until(`${agent.name}: ${words.join(' ')}`, 30_000, async () => {
    return (await agent.nexctl('route', ...words)).status === 0
  })
}

rule('is held by one, and stood by for by another, which is shown', async () => {
  for (const name of ['laptop', 'phone']) await scene.grantPrefix(name, PREFIX)
  await says(laptop, 'advertise', PREFIX, '--standby', '--priority', '200')
  await says(laptop, 'advertise', PREFIX)
  await says(phone, 'advertise', PREFIX, '--standby')
  await untilAnswered(hub.host.namespace, ADDRESS)
  await until('the standby is shown', 30_000, async () =>
    ((await hub.routes())[0]?.others ?? []).includes('phone'),
  )
  const [route] = await hub.routes()
  assert.is(route?.holder, 'laptop')
  assert.equal(
    route?.claims.map(({ name, state, priority }) => [name, state, priority]),
    [
      ['laptop', 'active', 200],
      ['phone', 'standby', 100],
    ],
  )
})

rule('is handed over with hardly a packet lost, by the old holder’s command', async () => {
  const pinging = ping(hub.host.namespace, ADDRESS, { count: 400, intervalMs: INTERVAL_MS })
  await new Promise((resolve) => setTimeout(resolve, 1000))
  const { status, stderr } = await laptop.nexctl('route', 'move', PREFIX, '--to', 'phone')
  assert.is(status, 0, stderr)
  const pings = await pinging
  await isHeldBy('phone')
  process.stdout.write(
    `handed over: ${lost(pings)} of ${pings.sent} lost, silence ${pings.longestSilenceMs.toFixed(0)} ms\n`,
  )
  assert.ok(lost(pings) <= mayBeLost(pings), `${lost(pings)} of ${mayBeLost(pings)} lost`)
  // The old holder answers no more after a while.
  await until('it is off the old holder', 30_000, async () => {
    const { stdout } = await laptop.host.namespace.attempt('ip', 'address')
    return !stdout.includes(`${ADDRESS}/`)
  })
  assert.ok(laptop.lines.some((line) => line.includes('route.lost')))
})

rule('is moved only by its holder, and only to who is ready', async () => {
  const refused = async (agent: LabAgent, to: string): Promise<string> =>
    (await agent.nexctl('route', 'move', PREFIX, '--to', to)).stderr
  assert.match(await refused(laptop, 'phone'), /held by phone: only the holder moves it/)
  assert.match(await refused(phone, 'hub'), /hub does not stand by .*--standby/)
  assert.match(await refused(phone, 'nobody'), /no peer "nobody"/)
})

rule('is taken over within seconds when its holder dies, which then learns of it', async () => {
  const pinging = ping(hub.host.namespace, ADDRESS, { count: 900, intervalMs: INTERVAL_MS })
  await new Promise((resolve) => setTimeout(resolve, 1500))
  for (const pid of await phone.pids()) process.kill(pid, 'SIGKILL')
  await phone.stop('SIGKILL').catch(() => undefined)
  await isHeldBy('laptop')
  const { longestSilenceMs } = await pinging
  process.stdout.write(`holder dead: ${longestSilenceMs.toFixed(0)} ms of silence\n`)
  assert.ok(longestSilenceMs < 12_000, `${longestSilenceMs} ms`)
  phone.start()
  await phone.started()
  await isHeldBy('laptop', phone)
  await until('the returned holder is told', 20_000, async () =>
    phone.lines.some((line) => line.includes('route.lost')),
  )
  assert.is(await holder(hub), 'laptop')
})

rule('goes to the standby when its holder is stopped, before that is gone', async () => {
  const pinging = ping(hub.host.namespace, ADDRESS, { count: 600, intervalMs: INTERVAL_MS })
  await new Promise((resolve) => setTimeout(resolve, 1000))
  await laptop.stop()
  const pings = await pinging
  process.stdout.write(`holder stopped: ${lost(pings)} of ${pings.sent} lost\n`)
  assert.ok(lost(pings) <= mayBeLost(pings), `${lost(pings)} of ${mayBeLost(pings)} lost`)
  await isHeldBy('phone')
})

rule.after(() => scene.stop())
rule.run()
