import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { systemClock } from '../../../agent/system-clock.ts'
import { generateSigningKeyPair } from '../../../crypto/signing.ts'
import { encodeRelayFrame, RELAY_PROTOCOL, relayAddressOf } from '../../../protocol/relay.ts'
import { encodeStun } from '../../../protocol/stun.ts'
import { testOrganization } from '../../support/organization.ts'
import { transportMessage } from '../../support/wireguard-message.ts'
import { linked, type MeshAgent, startAgent, until } from './mesh-agent.ts'
import { startStranger } from './stranger.ts'

const acme = testOrganization('acme', systemClock.now())
const everybody = acme.stateWith('ant', 'bee', 'hub')
const rule = suite('relays over TCP')

const text = transportMessage
const startHub = async (): Promise<MeshAgent> =>
  startAgent(acme, 'hub', { initial: everybody, relayServer: true })
/** Ant and bee know the hub and nothing of each other; nobody can dial one that listens nowhere. */
const startLeaf = async (name: string, hub: MeshAgent, listen: string[] = []): Promise<MeshAgent> =>
  startAgent(acme, name, { initial: everybody, known: { hub: [hub.address()] }, listen })
const kinds = (agent: MeshAgent, to: MeshAgent): readonly string[] =>
  agent.mesh
    .connections()
    .filter(({ device }) => device === to.device.id)
    .map(({ kind }) => kind)

rule('carries datagrams between two members that only a third connects', async () => {
  await using stack = new AsyncDisposableStack()
  const hub = stack.use(await startHub())
  const a = stack.use(await startLeaf('ant', hub))
  const b = stack.use(await startLeaf('bee', hub))
  await until('a relay is known', () => a.relays.names(b.device.id).includes('hub'))
  await until('sent', () => a.relays.send(b.device.id, text('ping')))
  await until('came', () => b.datagrams.length > 0)
  assert.equal(b.datagrams[0], { from: a.device.id, text: 'ping' })
  assert.ok(b.relays.send(a.device.id, text('pong')))
  await until('answered', () => a.datagrams.length > 0)
  assert.equal(a.datagrams[0], { from: b.device.id, text: 'pong' })
  assert.equal(hub.datagrams, [])
})

rule('gives what is for others to a relay, also where that is a client here itself', async () => {
  await using stack = new AsyncDisposableStack()
  const hub = stack.use(await startHub())
  const known = { hub: [hub.address()] }
  const options = { initial: everybody, known, listen: [], relayServer: true }
  const a = stack.use(await startAgent(acme, 'ant', options))
  const b = stack.use(await startLeaf('bee', hub))
  await until('the hub could send by ant', () => hub.relays.names(b.device.id).includes('ant'))
  await until('a relay is known', () => a.relays.relayRoutes(b.device.id).length > 0)
  await systemClock.sleep(300)
  for (const relay of a.relays.relayRoutes(b.device.id)) {
    assert.ok(a.relays.send(b.device.id, text('ping'), relay))
  }
  await until('came', () => b.datagrams.length > 0)
  assert.equal(hub.datagrams, [])
})

rule('needs no relay between two that are connected, in either direction', async () => {
  await using stack = new AsyncDisposableStack()
  const a = stack.use(await startAgent(acme, 'ant', { initial: everybody }))
  const known = { ant: [a.address()] }
  const b = stack.use(await startAgent(acme, 'bee', { initial: everybody, known }))
  await until('both ways', () => {
    const [there, back] = [a.relays.names(b.device.id), b.relays.names(a.device.id)]
    return there.length > 0 && back.length > 0
  })
  assert.ok(a.relays.send(b.device.id, text('one')))
  assert.ok(b.relays.send(a.device.id, text('two')))
  await until('came', () => a.datagrams.length === 1 && b.datagrams.length === 1)
  assert.equal([a.relays.names(b.device.id), b.relays.names(a.device.id)], [['bee'], ['ant']])
})

rule('does not pass on what is for others unless it is a relay', async () => {
  await using stack = new AsyncDisposableStack()
  const hub = stack.use(await startAgent(acme, 'hub', { initial: everybody }))
  const a = stack.use(await startLeaf('ant', hub))
  const b = stack.use(await startLeaf('bee', hub))
  await until('linked', () => linked(a, hub) && linked(b, hub))
  await systemClock.sleep(300)
  assert.equal([a.relays.names(b.device.id), a.relays.send(b.device.id, text('x'))], [[], false])
  await systemClock.sleep(100)
  assert.equal(b.datagrams, [])
})

rule('delivers the newest datagram to a peer that reaches the relay a moment later', async () => {
  await using stack = new AsyncDisposableStack()
  const hub = stack.use(await startHub())
  const a = stack.use(await startLeaf('ant', hub))
  const bee = acme.device('bee')
  await until('a relay is known', () => a.relays.names(bee.id).includes('hub'))
  a.relays.send(bee.id, text('old'))
  a.relays.send(bee.id, text('new'))
  await until('the hub says that it does not reach it', () => a.relays.names(bee.id).length === 0)
  assert.is(a.relays.send(bee.id, text('newest')), false)
  const b = stack.use(await startLeaf('bee', hub))
  await until('came', () => b.datagrams.length > 0)
  assert.equal(b.datagrams[0], { from: a.device.id, text: 'newest' })
})

rule('sends no check again, least of all in the place of another datagram', async () => {
  await using stack = new AsyncDisposableStack()
  const hub = stack.use(await startHub())
  const a = stack.use(await startLeaf('ant', hub))
  const bee = acme.device('bee')
  await until('a relay is known', () => a.relays.names(bee.id).includes('hub'))
  a.relays.send(bee.id, text('handshake'))
  await until('the hub says that it does not reach it', () => a.relays.names(bee.id).length === 0)
  const check = encodeStun({ kind: 'request', transactionId: new Uint8Array(12) })
  assert.is(a.relays.send(bee.id, check), false)
  const b = stack.use(await startLeaf('bee', hub))
  await until('came', () => b.datagrams.length > 0)
  assert.equal(b.datagrams[0], { from: a.device.id, text: 'handshake' })
})

rule('drops what does not fit, never grows its queue, and stays a way meanwhile', async () => {
  await using stack = new AsyncDisposableStack()
  const hub = stack.use(await startHub())
  const a = stack.use(await startLeaf('ant', hub))
  const b = stack.use(await startLeaf('bee', hub))
  await until('a relay is known', () => a.relays.names(b.device.id).includes('hub'))
  await until('proved', () => {
    b.relays.send(a.device.id, text('x'))
    return a.datagrams.length > 0
  })
  const datagram = transportMessage(new Uint8Array(1400))
  let refused = 0
  for (let n = 0; n < 20_000; n++) if (!a.relays.send(b.device.id, datagram)) refused += 1
  assert.is(refused, 0, 'a relay that is full is no relay that is gone')
  let came = 0
  do {
    came = b.datagrams.length
    await systemClock.sleep(500)
  } while (b.datagrams.length > came || came === 0)
  assert.ok(came > 50 && came < 2000, `${came} of 20000 came: the rest did not wait`)
  a.relays.send(b.device.id, datagram)
  await until('there is room again', () => b.datagrams.length > came)
})

rule(
  'connects two members by a circuit when neither can dial the other, and gossips over it',
  async () => {
    await using stack = new AsyncDisposableStack()
    const hub = stack.use(await startHub())
    const a = stack.use(await startLeaf('ant', hub))
    const b = stack.use(await startLeaf('bee', hub))
    await until('a place at the relay', () =>
      [a, b].every((each) => each.mesh.multiaddrs().some((one) => one.endsWith('/p2p-circuit'))),
    )
    await until('linked', () => linked(a, b) && linked(b, a))
    assert.equal(kinds(a, b), ['circuit'])
    assert.ok(await a.mesh.sendPunch(b.device.id, { sequence: 1, candidates: [] }))
    await until('punch', () => b.punches.length === 1)
    await hub[Symbol.asyncDispose]()
    await until('the circuit ends with its relay', () => !linked(a, b))
  },
)

rule('moves from the circuit to a direct connection when one is possible', async () => {
  await using stack = new AsyncDisposableStack()
  const hub = stack.use(await startHub())
  const a = stack.use(await startLeaf('ant', hub))
  const b = stack.use(await startLeaf('bee', hub, ['/ip4/127.0.0.1/tcp/0']))
  await b.publish(acme.endpoint(b.device, { multiaddrs: b.mesh.multiaddrs() }))
  await until(
    'direct alone',
    () => kinds(a, b).join() === 'direct' && kinds(b, a).join() === 'direct',
  )
  await a.publish(acme.endpoint(a.device, { sequence: 5 }))
  await until('gossip goes on', () => b.state().endpoints.has(a.device.id))
})

rule('takes a place at the relay again when the relay has restarted', async () => {
  await using stack = new AsyncDisposableStack()
  const first = await startHub()
  const listen = first.mesh.multiaddrs()
  const a = stack.use(await startLeaf('ant', first))
  const hasPlace = (): boolean => a.mesh.multiaddrs().some((each) => each.endsWith('/p2p-circuit'))
  await until('a place', hasPlace)
  await first[Symbol.asyncDispose]()
  await until('lost', () => !hasPlace())
  stack.use(await startAgent(acme, 'hub', { initial: everybody, relayServer: true, listen }))
  await until('a place again', hasPlace)
})

rule('relays nothing for a stranger, or for a member of another organization', async () => {
  await using stack = new AsyncDisposableStack()
  const hub = stack.use(await startHub())
  const a = stack.use(await startLeaf('ant', hub))
  await until('linked', () => linked(a, hub))
  const evil = testOrganization('evil', systemClock.now())
  for (const key of [generateSigningKeyPair<'device'>(), evil.device('spy').key]) {
    const stranger = stack.use(await startStranger(key))
    const out = stranger.intrude(hub.address(), async () => undefined)
    await systemClock.sleep(200)
    const [connection] = stranger.node.getConnections()
    const frame = encodeRelayFrame({ peer: relayAddressOf(a.device.id), datagram: text('spam') })
    connection
      ?.newStream(RELAY_PROTOCOL)
      .then((stream) => stream.send(frame))
      .catch(() => undefined)
    await out
  }
  await systemClock.sleep(50)
  assert.equal(a.datagrams, [])
})

rule.run()
