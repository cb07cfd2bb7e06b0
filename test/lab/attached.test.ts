// time limit: 240 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ping, untilAnswered } from '../../simulations/lab/ping.ts'
import { startScene, until } from '../../simulations/lab/scene.ts'
import { needs } from '../support/needs.ts'

needs('root', 'netns', 'nft', 'wireguard-go', 'ping')

/** No TCP leaves the site. */
const NO_TCP = [
  'table inet notcp {',
  'chain forward { type filter hook forward priority -300; meta l4proto tcp drop; }',
  '}',
]
/** A session that is begun anew only when it is given up takes four times as long. */
const LIMIT_MS = 8000
const scene = await startScene({
  sites: [{ kind: 'public' }, { kind: 'public' }, { kind: 'symm' }, { kind: 'symm' }],
  registrySite: 1,
  agents: { hub: { site: 2 }, laptop: { site: 3 }, phone: { site: 4 } },
  enrol: 'key',
})
const rule = suite('two hosts that no hole leads to, and that may speak no TCP')
const [laptop, phone] = [scene.agent('laptop'), scene.agent('phone')]
const [phone4 = ''] = await phone.addresses()
const from = laptop.host.namespace

const restart = async (): Promise<void> => {
  await Promise.all([laptop.stop(), phone.stop()])
  for (const agent of [laptop, phone]) agent.start()
}
const relayOf = async (): Promise<string> => {
  const found = await laptop.peer('phone').catch(() => undefined)
  return found?.path === 'relay' ? `${found.relay?.name} ${found.relay?.by}` : `${found?.path}`
}

rule('reach each other by relays that they attach to by UDP, after a restart', async () => {
  await untilAnswered(from, phone4, 60_000)
  for (const site of [3, 4]) await scene.lab.router(site).batch('nft', NO_TCP)
  await restart()
  await untilAnswered(from, phone4, 20_000)
  await until('relayed by UDP', 20_000, async () => /^(hub|registry) udp$/.test(await relayOf()))
  assert.not((await laptop.status()).registry.connected)
})

rule('lose nothing for as long as they have packets, nor after a while without any', async () => {
  const { sent, received } = await ping(from, phone4, { count: 350, intervalMs: 100 })
  assert.is(received, sent)
  await new Promise((resolve) => setTimeout(resolve, 35_000))
  await untilAnswered(from, phone4, 5000)
})

for (const [what, move] of [
  ['the host moves', () => scene.lab.moveHost(laptop.host)],
  ['its public address is another', () => scene.lab.renumber(3)],
] as const) {
  rule(`have packets again when ${what}`, async () => {
    const pings = ping(from, phone4, { count: 400, intervalMs: 25, waitMs: 3000 })
    await new Promise((resolve) => setTimeout(resolve, 1500))
    await move()
    const { longestSilenceMs } = await pings
    process.stdout.write(`${what}: ${longestSilenceMs.toFixed(0)} ms of silence\n`)
    assert.ok(longestSilenceMs < LIMIT_MS)
    await untilAnswered(from, phone4, 5000)
  })
}

rule('do so by a member when the registry is dead', async () => {
  await scene.stopRegistry('SIGKILL')
  await until(
    'by the hub',
    30_000,
    async () =>
      (await ping(from, phone4, { count: 3 })).received > 0 && (await relayOf()) === 'hub udp',
  )
  await restart()
  await untilAnswered(from, phone4, 20_000)
  const { sent, received } = await ping(from, phone4, { count: 50, intervalMs: 100 })
  assert.is(received, sent)
})

rule.after(() => scene.stop())
rule.run()
