import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { openRelayCarrier } from '../../../agent/path/relay-carrier.ts'

/** In WireGuard's place. */
async function listener(): Promise<Socket> {
  const socket = createSocket('udp4')
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  return socket
}

const rule = suite('relay carrier')

rule(
  'hands on what WireGuard sends, and gives WireGuard what came, from the same port',
  async () => {
    const wireguard = await listener()
    const carried: string[] = []
    const carrier = openRelayCarrier({
      listenPort: wireguard.address().port,
      onDatagram: (datagram) => carried.push(new TextDecoder().decode(datagram)),
      log: () => undefined,
    })
    wireguard.send('out', carrier.endpoint.port, carrier.endpoint.address)
    assert.ok(carrier.inject(new TextEncoder().encode('in')))
    const [datagram, from] = await once(wireguard, 'message')
    assert.equal([String(datagram), from.port], ['in', carrier.endpoint.port])
    while (carried.length === 0) await sleep(1)
    assert.equal(carried, ['out'])
    carrier.close()
    wireguard.close()
  },
)

rule('takes what WireGuard sends by IPv6, too, once it is asked for', async () => {
  const wireguard = createSocket('udp6')
  wireguard.bind(0, '::1')
  await once(wireguard, 'listening')
  const carried: string[] = []
  const carrier = openRelayCarrier({
    listenPort: wireguard.address().port,
    onDatagram: (datagram) => carried.push(String(new TextDecoder().decode(datagram))),
    log: () => undefined,
  })
  assert.equal(carrier.endpointOf(4), carrier.endpoint)
  const endpoint = carrier.endpointOf(6)
  assert.is(endpoint?.address, '::1')
  assert.equal(carrier.endpointOf(6), endpoint)
  wireguard.send('out', endpoint?.port ?? 0, '::1')
  while (carried.length === 0) await sleep(1)
  assert.equal(carried, ['out'])
  carrier.close()
  wireguard.close()
})

rule('opens nothing more once it is closed', () => {
  const carrier = openRelayCarrier({
    listenPort: 1,
    onDatagram: () => undefined,
    log: () => undefined,
  })
  carrier.close()
  assert.is(carrier.endpointOf(6), undefined)
})

rule('takes nothing from another port', async () => {
  const wireguard = await listener()
  const other = await listener()
  const carried: string[] = []
  const carrier = openRelayCarrier({
    listenPort: wireguard.address().port,
    onDatagram: (datagram) => carried.push(String(datagram)),
    log: () => undefined,
  })
  other.send('forged', carrier.endpoint.port, carrier.endpoint.address)
  wireguard.send('true', carrier.endpoint.port, carrier.endpoint.address)
  while (carried.length === 0) await sleep(1)
  await sleep(5)
  assert.is(carried.length, 1)
  carrier.close()
  wireguard.close()
  other.close()
})

rule('drops what no relay frame can hold', async () => {
  const carrier = openRelayCarrier({
    listenPort: 9,
    onDatagram: () => undefined,
    log: () => undefined,
  })
  assert.not(carrier.inject(new Uint8Array(9217)))
  carrier.close()
})

rule.run()
