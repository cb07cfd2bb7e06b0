// time limit: 300 s
/** A peer that vanishes while connections are open through a proxy: on both sides they end, and nothing is left. */
import { connect } from 'node:net'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { systemClock } from '../../../agent/system-clock.ts'
import { skippingClock } from './skipping-clock.ts'
import { askTcp, freePort, startTcpService, startTwoProxies, until } from './two-proxies.ts'

const rule = suite('the proxy, whose peer vanishes')

rule('ends the open connections of a peer that vanishes, and goes on when it is back', async () => {
  const clock = skippingClock()
  await using web = await startTcpService('web')
  const port = await freePort()
  await using two = await startTwoProxies({
    near: { egress: [`tcp:${port}:far:80`] },
    far: { ingress: [`tcp:80:127.0.0.1:${web.port}`] },
    stackClock: clock,
  })
  const open = () => connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  const clients = Array.from({ length: 20 }, () => open().on('error', () => {}))
  for (const client of clients) client.write('begun')
  await until(() => two.near.connections.size === 20 && two.far.connections.size === 20)
  const counted = () =>
    new Promise<number>((resolve) => {
      web.server.getConnections((_error, count) => resolve(count))
    })
  const closed = clients.map((client) => new Promise((resolve) => client.once('close', resolve)))
  two.cut(true)
  // Half of them have data on its way, the others nothing.
  for (const client of clients.slice(0, 10)) client.write('x'.repeat(10_000))
  clock.hasten(100)
  await Promise.all(closed)
  await until(() => two.near.connections.size + two.far.connections.size === 0)
  await until(() => two.near.stack.counts().active + two.far.stack.counts().active === 0)
  while ((await counted()) > 0) await systemClock.sleep(10)
  clock.hasten(1)
  two.cut(false)
  assert.is(await askTcp(port, 'back'), 'web:back')
})

rule.run()
