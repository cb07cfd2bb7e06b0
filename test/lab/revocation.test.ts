// time limit: 240 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ping, untilAnswered } from '../../simulations/lab/ping.ts'
import { startScene, TWO_NATS, until } from '../../simulations/lab/scene.ts'
import { needs } from '../support/needs.ts'

needs('root', 'netns', 'nft', 'wireguard-go', 'iptables', 'ping')

const rule = suite('a device removed in the registry')
const scene = await startScene({ ...TWO_NATS, enrol: 'key' })
const [hub, laptop, phone] = [scene.agent('hub'), scene.agent('laptop'), scene.agent('phone')]
const [phone4 = ''] = await phone.addresses()
await untilAnswered(laptop.host.namespace, phone4)

rule('is dropped by every other agent within seconds', async () => {
  await scene.removeDevice('phone')
  for (const agent of [hub, laptop]) {
    await until(
      `${agent.name} has dropped it`,
      15_000,
      async () => (await agent.peer('phone')) === undefined,
    )
  }
  const { received } = await ping(laptop.host.namespace, phone4, { count: 5, waitMs: 500 })
  assert.is(received, 0)
  const { stdout } = await laptop.host.namespace.attempt(
    'wg',
    'show',
    laptop.options.interfaceName,
    'allowed-ips',
  )
  assert.not.match(stdout, new RegExp(phone4.replaceAll('.', '\\.')))
})

rule('cannot rejoin gossip, whether it goes on or is restarted', async () => {
  // A connection through the tunnel hears no end, for the tunnel is gone: it counts as silent after 52 s at worst.
  await until(
    'it is connected to nobody',
    75_000,
    async () => (await phone.status()).mesh.connections === 0,
  )
  await phone.stop('SIGKILL')
  // Its own state still holds a certificate that has not ended, and the registry's address.
  phone.start()
  await new Promise((resolve) => setTimeout(resolve, 6000))
  for (const agent of [hub, laptop]) assert.is(await agent.peer('phone'), undefined)
  const { received } = await ping(phone.host.namespace, (await hub.addresses())[0] ?? '', {
    count: 3,
    waitMs: 500,
  })
  assert.is(received, 0)
})

rule('stays out when the registry dies and a member restarts', async () => {
  await scene.stopRegistry()
  await laptop.stop('SIGKILL')
  laptop.start()
  await laptop.started()
  await untilAnswered(laptop.host.namespace, (await hub.addresses())[0] ?? '')
  assert.is(await laptop.peer('phone'), undefined)
})

rule.after(() => scene.stop())
rule.run()
