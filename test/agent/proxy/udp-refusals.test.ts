/** Where nothing listens behind a UDP rule: the flow ends at once, and whoever asked hears of it where that can be. */
import { createSocket } from 'node:dgram'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Endpoint, parseIpAddress } from '../../../protocol/address.ts'
import { FAR } from '../../../simulations/world/stack-pair.ts'
import { askUdp, freePort, startTwoProxies, startUdpService, until } from './two-proxies.ts'

const rule = suite('UDP rules without a service')

for (const [family, host] of [
  [4, '127.0.0.1'],
  [6, '::1'],
] as const) {
  rule(`tells a device of the mesh that the backend is not there, IPv${family}`, async () => {
    const shown = family === 6 ? `[${host}]` : host
    await using two = await startTwoProxies({
      far: { ingress: [`udp:53:${shown}:${await freePort()}`] },
    })
    const refused: Endpoint[] = []
    const client = two.near.stack.bindUdp(
      0,
      () => assert.unreachable(),
      (remote) => void refused.push(remote),
    )
    client.send(Buffer.from('who'), { address: FAR[family], port: 53 })
    await until(() => refused.length === 1)
    assert.equal(refused, [{ address: parseIpAddress(FAR[family]), port: 53 }])
    client.send(Buffer.from('who'), { address: FAR[family], port: 53 })
    await until(() => refused.length === 2)
    assert.ok(two.far.logged.some((line) => line.startsWith('proxy.dial-failed')))
  })
}

rule('ends a flow into the mesh at once, and the next goes to another backend', async () => {
  await using alive = await startUdpService('alive')
  const port = await freePort()
  await using two = await startTwoProxies({
    near: { egress: [`udp:${port}:far:81`, `udp:${port}:far:82`] },
    far: { ingress: [`udp:82:127.0.0.1:${alive.port}`] },
  })
  // The first datagram meets a port that nothing listens on, and only the one sent again the other.
  assert.is(await askUdp(port, 'x'), 'alive:x')
  assert.ok(two.near.logged.includes(`proxy.dial-failed udp:${port}:far:81`))
  assert.is(two.near.stack.counts().udpSockets, 1)
})

rule('passes the word on through both proxies', async () => {
  const port = await freePort()
  await using two = await startTwoProxies({
    near: { egress: [`udp:${port}:far:53`] },
    far: { ingress: [`udp:53:127.0.0.1:${await freePort()}`] },
  })
  const socket = createSocket('udp4').unref()
  socket.send('who', port, '127.0.0.1')
  await until(() => two.near.logged.includes(`proxy.dial-failed udp:${port}:far:53`))
  await until(() => two.near.stack.counts().udpSockets === 0)
  socket.close()
})

rule.run()
