import { multiaddr } from '@multiformats/multiaddr'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { randomBytes } from '../../../crypto/random.ts'
import { until } from '../../support/rendezvous-peer.ts'
import { startRendezvousScene } from '../../support/rendezvous-scene.ts'
import { textOf, transportMessage } from '../../support/wireguard-message.ts'

const rule = suite('rendezvous relay')

type Scene = Awaited<ReturnType<typeof startRendezvousScene>>

async function related(here: Scene, name: string, into = here.organization) {
  const { peer, by } = await here.enrolled(name, into)
  const connection = await peer.join(here.address)
  return { ...by, peer, connection, relay: await peer.relay(connection) }
}

rule('carries datagrams between devices of one organization, with the sender in them', async () => {
  await using here = await startRendezvousScene()
  const [laptop, phone] = [await related(here, 'laptop'), await related(here, 'phone')]
  const datagrams = [16, 132, 1404, 9200].map((length) => transportMessage(randomBytes(length)))
  for (const datagram of datagrams) laptop.relay.send(phone.peer.address, datagram)
  await until('carried', () => phone.relay.received.length === datagrams.length)
  assert.equal(
    phone.relay.received,
    datagrams.map((datagram) => ({ peer: laptop.peer.address, datagram })),
  )
  phone.relay.send(laptop.peer.address, transportMessage('7'))
  await until('answered', () => laptop.relay.received.length === 1)
})

rule(
  'answers at once that a device is not here, and carries nothing to another organization',
  async () => {
    await using here = await startRendezvousScene()
    const other = await here.core.issuing.found('Umbrella')
    const [laptop, spy] = [await related(here, 'laptop'), await related(here, 'spy', other)]
    laptop.relay.send(spy.peer.address, transportMessage('abc'))
    spy.relay.send(laptop.peer.address, transportMessage('abc'))
    await until('answered', () => laptop.relay.received.length + spy.relay.received.length === 2)
    assert.equal(laptop.relay.received, [{ peer: spy.peer.address, datagram: new Uint8Array(0) }])
    assert.equal(spy.relay.received, [{ peer: laptop.peer.address, datagram: new Uint8Array(0) }])
  },
)

rule('carries nothing for a removed device', async () => {
  await using here = await startRendezvousScene()
  const [laptop, phone] = [await related(here, 'laptop'), await related(here, 'phone')]
  await here.core.devices.remove(here.organization, laptop.id)
  await until('dropped', () => laptop.connection.status !== 'open')
  phone.relay.send(laptop.peer.address, transportMessage('1'))
  await until('answered', () => phone.relay.received.length === 1)
  assert.is(phone.relay.received[0]?.datagram.length, 0)
})

rule('the newest stream of a device replaces the older one', async () => {
  await using here = await startRendezvousScene()
  const [laptop, phone] = [await related(here, 'laptop'), await related(here, 'phone')]
  const newer = await phone.peer.relay(phone.connection)
  newer.send(laptop.peer.address, transportMessage('1'))
  await until('attached', () => laptop.relay.received.length === 1)
  laptop.relay.send(phone.peer.address, transportMessage('2'))
  await until('carried', () => newer.received.length === 1)
  assert.equal(phone.relay.received, [])
})

rule('a device that does not read loses datagrams, and no memory of ours', async () => {
  await using here = await startRendezvousScene()
  const [laptop, phone] = [await related(here, 'laptop'), await related(here, 'phone')]
  phone.relay.stream.pause()
  const datagram = transportMessage(randomBytes(9000))
  for (let count = 0; count < 2000; count++) {
    if (!laptop.relay.send(phone.peer.address, datagram)) await laptop.relay.stream.onDrain()
  }
  // The relay is as quick as ever for everybody else.
  const pad = await related(here, 'pad')
  pad.relay.send(laptop.peer.address, transportMessage('1'))
  await until('carried', () => laptop.relay.received.length === 1)
  phone.relay.stream.resume()
  pad.relay.send(phone.peer.address, transportMessage('9'))
  await until(
    'still works',
    () => textOf(phone.relay.received.at(-1)?.datagram ?? datagram) === '9' || resend(),
  )
  assert.ok(phone.relay.received.length < 1000, `${phone.relay.received.length} of 2000`)
  function resend(): false {
    pad.relay.send(phone.peer.address, transportMessage('9'))
    return false
  }
})

rule('ends a stream that breaks the framing', async () => {
  await using here = await startRendezvousScene()
  const laptop = await related(here, 'laptop')
  laptop.relay.stream.send(Uint8Array.of(0, 1, 2, 3))
  await until('ended', () => laptop.relay.stream.status !== 'open')
})

rule(
  'relays circuits between devices of one organization and refuses them between two',
  async () => {
    await using here = await startRendezvousScene()
    const other = await here.core.issuing.found('Umbrella')
    const [laptop, phone] = [await related(here, 'laptop'), await related(here, 'phone')]
    const spy = await related(here, 'spy', other)
    const relayed = multiaddr(`${here.address}/p2p-circuit`)
    const { transportManager } = (
      phone.peer.node as unknown as {
        components: { transportManager: { listen(addresses: unknown[]): Promise<void> } }
      }
    ).components
    await transportManager.listen([relayed])
    await until('reserved', () => phone.peer.node.getMultiaddrs().length > 0)
    const through = multiaddr(`${here.address}/p2p-circuit/p2p/${phone.peer.peerId}`)
    const circuit = await laptop.peer.node.dial(through)
    assert.is(circuit.limits, undefined)
    assert.is(circuit.remotePeer.toString(), phone.peer.peerId)
    const refused = await spy.peer.node.dial(through).catch((error: unknown) => String(error))
    assert.match(String(refused), 'PERMISSION_DENIED')
  },
)

rule.run()
