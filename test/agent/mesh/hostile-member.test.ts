// time limit: 120 s
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import type { Stream } from '@libp2p/interface'
import { lpStream } from '@libp2p/utils'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { peerIdOf } from '../../../agent/mesh/device-peer.ts'
import { STREAMS } from '../../../agent/mesh/stream-pace.ts'
import { SYNC_PROTOCOL } from '../../../agent/mesh/sync-stream.ts'
import { systemClock } from '../../../agent/system-clock.ts'
import { randomBytes } from '../../../crypto/random.ts'
import { parseEndpoint } from '../../../protocol/address.ts'
import { encodePunch, PUNCH_PROTOCOL } from '../../../protocol/punch.ts'
import { encodeRelayFrame, RELAY_PROTOCOL, relayAddressOf } from '../../../protocol/relay.ts'
import { encodeSyncMessage } from '../../../protocol/sync.ts'
import { testOrganization } from '../../support/organization.ts'
import { transportMessage } from '../../support/wireguard-message.ts'
import { linked, type MeshAgent, saysWarning, startAgent, until } from './mesh-agent.ts'
import { type Rogue, startRogue } from './rogue.ts'

const acme = testOrganization('acme', systemClock.now())
const everybody = acme.stateWith('ant', 'bee', 'hub')
const beeIsNoRelay = acme.state(
  acme.issuerCertificate(),
  acme.manifest(),
  acme.certificate(acme.device('ant')),
  acme.certificate(acme.device('hub')),
  acme.certificate(acme.device('bee'), { roles: [] }),
)
const rule = suite('a hostile member of the mesh')

const signal = (): AbortSignal => AbortSignal.timeout(5000)

async function scene(stack: AsyncDisposableStack): Promise<{ agent: MeshAgent; rogue: Rogue }> {
  const agent = stack.use(await startAgent(acme, 'ant', { initial: everybody }))
  const rogue = stack.use(await startRogue(acme, 'bee'))
  await rogue.connect(agent.address())
  return { agent, rogue }
}

async function open(rogue: Rogue, protocol: string): Promise<Stream> {
  const [link] = rogue.links.all()
  if (link === undefined) throw new Error('not linked')
  return link.connection.newStream(protocol, { signal: signal(), runOnLimitedConnection: true })
}

rule('brings no datagrams in the name of others, for it is no relay (SPEC §7.4)', async () => {
  await using stack = new AsyncDisposableStack()
  const rogue = stack.use(await startRogue(acme, 'bee', beeIsNoRelay))
  const { hub, bee } = { hub: acme.device('hub'), bee: acme.device('bee') }
  const frames = [hub, bee].map(({ id }) =>
    encodeRelayFrame({ peer: relayAddressOf(id), datagram: transportMessage('x') }),
  )
  await rogue.mesh.node.handle(RELAY_PROTOCOL, (stream) => {
    for (const frame of frames) stream.send(frame)
  })
  const [address = ''] = rogue.mesh.node.getMultiaddrs().map(String)
  const agent = stack.use(
    await startAgent(acme, 'ant', { initial: beeIsNoRelay, known: { bee: [address] } }),
  )
  await until('its own came', () => agent.datagrams.length > 0)
  assert.equal(agent.datagrams, [{ from: bee.id, text: 'x' }])
})

rule('is heard five punches a second, and named for more', async () => {
  await using stack = new AsyncDisposableStack()
  const { agent, rogue } = await scene(stack)
  const candidates = [{ kind: 'host' as const, ...parseEndpoint('192.0.2.7:9') }]
  const began = performance.now()
  for (let sequence = 1; sequence <= 200; sequence++) {
    const stream = await open(rogue, PUNCH_PROTOCOL)
    await lpStream(stream).write(encodePunch({ sequence, candidates }), { signal: signal() })
    await stream.close({ signal: signal() })
  }
  const seconds = (performance.now() - began) / 1000
  await until('it is named', () => saysWarning(agent, 'mesh.member-floods').length > 0)
  assert.ok(
    agent.punches.length <= 16 + 5 * (seconds + 1),
    `${agent.punches.length} in ${seconds} s`,
  )
  assert.is(saysWarning(agent, 'mesh.member-floods')[0]?.fields['peer'], 'bee')
})

rule('begins 32 syncs at once, and is named for more', async () => {
  await using stack = new AsyncDisposableStack()
  const { agent, rogue } = await scene(stack)
  const summary = encodeSyncMessage({ kind: 'summary', hash: new Uint8Array(16) })
  let answered = 0
  for (let n = 0; n < 80; n++) {
    const stream = await open(rogue, SYNC_PROTOCOL)
    const frames = lpStream(stream)
    await frames.write(summary, { signal: signal() }).catch(() => undefined)
    const answer = await frames.read({ signal: signal() }).catch(() => undefined)
    if (answer !== undefined) answered += 1
    stream.abort(new Error('enough'))
  }
  assert.ok(answered >= 30 && answered < 60, `${answered} answered`)
  const [line] = saysWarning(agent, 'mesh.member-floods')
  assert.equal([line?.fields['peer'], line?.fields['with']], ['bee', 'syncs'])
})

rule('is thrown out for opening streams without end, whatever they are for', async () => {
  await using stack = new AsyncDisposableStack()
  const { agent, rogue } = await scene(stack)
  const isIn = () => linked(agent, { device: acme.device('bee') } as MeshAgent)
  await until('it is in', isIn)
  for (let n = 0; n < 30 && isIn(); n++) {
    const opened = Array.from({ length: STREAMS.burst / 4 }, () =>
      open(rogue, '/ipfs/ping/1.0.0').catch(() => undefined),
    )
    await Promise.all(opened)
  }
  await until('thrown out', () => !isIn())
  const [line] = saysWarning(agent, 'mesh.peer-faulty')
  assert.is(line?.fields['name'], 'bee')
  assert.match(String(line?.fields['reason']), 'streams')
})

rule('is thrown out for connecting again and again', async () => {
  await using stack = new AsyncDisposableStack()
  const { agent, rogue } = await scene(stack)
  let connected = 1
  const connect = async (): Promise<boolean> =>
    rogue.connect(agent.address()).then(
      () => true,
      () => false,
    )
  while (connected < 200 && (await connect())) connected += 1
  await until('it is named', () => saysWarning(agent, 'mesh.peer-refused').length > 0)
  assert.ok(connected >= 60 && connected < 100, `${connected} connections`)
  const [line] = saysWarning(agent, 'mesh.peer-refused')
  assert.is(line?.fields['device'], acme.device('bee').id)
  assert.match(String(line?.fields['reason']), 'connections')
})

rule('can store nothing with others by the DHT', async () => {
  await using stack = new AsyncDisposableStack()
  const { agent, rogue } = await scene(stack)
  const { id } = acme.device('bee')
  const peer = peerIdOf(id).toMultihash().bytes
  const { protocol } = rogue.mesh.node.services.dht as unknown as { protocol: string }
  const frames = lpStream(await open(rogue, protocol))
  // A protobuf message of the DHT: ADD_PROVIDER, a CID as key, and this peer as who has it.
  const cid = [1, 0x55, 0x12, 32, ...randomBytes(32)]
  const provider = [10, peer.length, ...peer]
  const message = [8, 2, 18, cid.length, ...cid, 74, provider.length, ...provider]
  await frames.write(Uint8Array.from(message), { signal: signal() })
  const outcome = await frames.read({ signal: signal() }).then(
    () => 'answered',
    (error: unknown) => (error instanceof Error ? error.name : 'unknown'),
  )
  assert.is(outcome, 'StreamResetError', 'not taken and left without an answer')
  assert.ok(linked(agent, { device: { id } } as MeshAgent), 'and stays a member')
})

rule('that says another place each moment has others dial a few of them', async () => {
  await using stack = new AsyncDisposableStack()
  let dialled = 0
  const service = createServer((socket) => {
    dialled += 1
    socket.on('error', () => undefined).end()
  })
  service.listen(0, '0.0.0.0')
  await once(service, 'listening')
  stack.defer(() => void service.close())
  const { port } = service.address() as AddressInfo
  const agent = stack.use(await startAgent(acme, 'ant', { initial: everybody }))
  for (let n = 1; n <= 60; n++) {
    const multiaddrs = [`/ip4/127.0.1.${n}/tcp/${port}`]
    agent.learn(acme.endpoint(acme.device('bee'), { sequence: 10 + n, multiaddrs }))
    await systemClock.sleep(30)
  }
  assert.ok(dialled > 0 && dialled <= 20, `dialled ${dialled} times`)
})

rule.run()
