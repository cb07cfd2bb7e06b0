// time limit: 600 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ping, untilAnswered } from '../../simulations/lab/ping.ts'
import { startScene, until } from '../../simulations/lab/scene.ts'
import { needs } from '../support/needs.ts'

needs('root', 'netns', 'nft', 'wireguard-go', 'iptables', 'ping', 'conntrack')

const rule = suite('with the registry dead')
const scene = await startScene()
const [hub, laptop, phone] = [scene.agent('hub'), scene.agent('laptop'), scene.agent('phone')]
const [phone4 = ''] = await phone.addresses()
const from = laptop.host.namespace
await untilAnswered(from, phone4)
await scene.stopRegistry('SIGKILL')

rule('tunnels stay', async () => {
  const { sent, received } = await ping(from, phone4, { count: 50, intervalMs: 100 })
  assert.is(received, sent)
})

rule('both private hosts restart and reach each other again', async () => {
  await Promise.all([laptop.stop('SIGKILL'), phone.stop('SIGKILL')])
  laptop.start()
  phone.start()
  await Promise.all([laptop.started(), phone.started()])
  await untilAnswered(from, phone4)
  await until('direct', 20_000, async () => (await laptop.peer('phone'))?.path === 'direct')
  assert.is((await laptop.status()).registry.reachable, false)
})

rule('a new public address of one site reaches everybody, and the path follows', async () => {
  await scene.lab.renumber(3)
  await until(
    'the hub knows the new endpoint',
    60_000,
    async () => (await hub.peer('phone'))?.endpoint === '198.18.3.3:51820',
  )
  await until('the laptop is direct at the new endpoint', 60_000, async () => {
    const peer = await laptop.peer('phone')
    return peer?.path === 'direct' && peer.endpoint === '198.18.3.3:51820'
  })
  const { received } = await ping(from, phone4)
  assert.ok(received >= 4)
})

rule(
  'both restart after a new address of both, and find each other by the public member',
  async () => {
    await Promise.all([laptop.stop('SIGKILL'), phone.stop('SIGKILL')])
    await scene.lab.renumber(2)
    await scene.lab.renumber(3)
    laptop.start()
    phone.start()
    await Promise.all([laptop.started(), phone.started()])
    await untilAnswered(from, phone4, 60_000)
  },
)

rule.after(() => scene.stop())
rule.run()
