import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { AttachTarget } from '../../../agent/mesh/attached-relays.ts'
import { Relays } from '../../../agent/mesh/relays.ts'
import { attachTargets } from '../../../agent/relay-targets.ts'
import { systemClock } from '../../../agent/system-clock.ts'
import { randomBytes } from '../../../crypto/random.ts'
import { generateSigningKeyPair } from '../../../crypto/signing.ts'
import { parseEndpoint } from '../../../protocol/address.ts'
import type { DeviceKeyPair, OrganizationId } from '../../../protocol/keys.ts'
import { relayAddressOf } from '../../../protocol/relay.ts'
import { relayIdOf } from '../../../protocol/relay-attach.ts'
import { parseRelayRate } from '../../../protocol/relay-rate.ts'
import type { OrganizationState } from '../../../protocol/state.ts'
import { startRendezvous } from '../../../registry/rendezvous/rendezvous.ts'
import { type TestDevice, testOrganization } from '../../support/organization.ts'
import { asker, PUBLIC_URL, startCore } from '../../support/registry-core.ts'
import { textOf, transportMessage } from '../../support/wireguard-message.ts'
import { type MeshAgent, startAgent, until } from './mesh-agent.ts'

const acme = testOrganization('acme', systemClock.now())
const everybody = acme.stateWith('ant', 'bee', 'hub', 'hive')
const rule = suite('relays without a stream')

interface Leaf {
  readonly relays: Relays
  readonly datagrams: string[]
  changes: number
}

/** What carries, and nothing else of an agent. */
function leaf(
  stack: AsyncDisposableStack,
  device: Pick<TestDevice, 'id'> & { readonly key: DeviceKeyPair },
  targets: () => readonly AttachTarget[],
  [organization, state]: readonly [OrganizationId, OrganizationState] = [acme.id, everybody],
): Leaf {
  const made = { datagrams: [] as string[], changes: 0 }
  const relays = stack.use(
    new Relays({
      ...{ deviceKey: device.key, organization, state: () => state, targets },
      onDatagram: (_from, datagram) => made.datagrams.push(textOf(datagram)),
      onRelayDoubt: () => undefined,
      onChange: () => {
        made.changes += 1
      },
      ...{ clock: systemClock, random: randomBytes, log: () => undefined },
    }),
  )
  return Object.assign(made, { relays })
}

const startRelay = (name = 'hub'): Promise<MeshAgent> =>
  startAgent(acme, name, {
    ...{ initial: everybody, relayServer: true, listen: ['/ip4/127.0.0.1/tcp/0'] },
  })
/** Where that member relays. */
const targetOf = (relay: MeshAgent): AttachTarget => {
  const [, port = ''] = /\/tcp\/(\d+)/.exec(relay.address()) ?? []
  const { id, name } = relay.device
  return {
    endpoint: parseEndpoint(`127.0.0.1:${port}`),
    to: relayAddressOf(id),
    relays: new Map([[id, { id, device: id, name }]]),
  }
}
const devices = ['ant', 'bee'].map((name) => acme.device(name)) as [TestDevice, TestDevice]

/** Two devices that attach to it. */
function attachedTo(stack: AsyncDisposableStack, hub: MeshAgent): [Leaf, Leaf] {
  const both = devices.map((device) => leaf(stack, device, () => [targetOf(hub)])) as [Leaf, Leaf]
  for (const { relays } of both) {
    relays.setPeers([...devices, hub.device].map(({ id, name }) => ({ device: id, name })))
    relays.attach()
  }
  return both
}

/** Sends from one to the other until something has come. */
const reaches = (from: Leaf, to: Leaf, device: Pick<TestDevice, 'id'>): Promise<number> => {
  let next = 0
  return until('a datagram came', () => {
    if (performance.now() >= next) {
      next = performance.now() + 50
      from.relays.send(device.id, transportMessage('hello'))
    }
    return to.datagrams.includes('hello')
  })
}

rule('two devices reach each other by a member that relays, by UDP alone', async () => {
  await using stack = new AsyncDisposableStack()
  const hub = stack.use(await startRelay())
  const [a, b] = attachedTo(stack, hub)
  await Promise.all([reaches(a, b, devices[1]), reaches(b, a, devices[0])])
  assert.equal(a.relays.inUse(devices[1].id), { name: 'hub', device: hub.device.id, by: 'udp' })
  assert.ok(a.changes > 0)
  a.relays.send(hub.device.id, transportMessage('to the relay itself'))
  await until('came', () => hub.datagrams.some(({ text }) => text === 'to the relay itself'))
  hub.relays.send(devices[0].id, transportMessage('from the relay'))
  await until('came back', () => a.datagrams.includes('from the relay'))
})

rule('a stream takes over, and no datagram is lost or comes twice', async () => {
  await using stack = new AsyncDisposableStack()
  const hub = stack.use(await startRelay())
  const start = (name: string) =>
    startAgent(acme, name, {
      ...{ initial: everybody, known: { hub: [hub.address()] }, listen: [] },
      targets: () => [targetOf(hub)],
    })
  const [a, b] = [stack.use(await start('ant')), stack.use(await start('bee'))]
  for (const { relays } of [a, b]) relays.attach()
  // What nothing was heard by is sent by several.
  const talk = (): boolean => b.relays.send(a.device.id, transportMessage('x'))
  await until('both have heard', () => {
    a.relays.send(b.device.id, transportMessage('x'))
    return talk() && a.datagrams.length > 0 && b.datagrams.length > 0
  })
  const isStreamed = (): boolean => [a, b].every(({ mesh }) => mesh.connections().length > 0)
  let sent = 0
  const begun = performance.now()
  while (!isStreamed() || performance.now() - begun < 5000) {
    a.relays.send(b.device.id, transportMessage(`number ${sent}`))
    sent += 1
    talk()
    await systemClock.sleep(5)
  }
  const numbers = () => b.datagrams.filter(({ text }) => text.startsWith('number'))
  await until('all have come', () => numbers().length >= sent)
  assert.is(numbers().length, sent)
})

rule('a registry attaches its devices, by the key of its peer id alone', async () => {
  await using stack = new AsyncDisposableStack()
  const core = stack.use(await startCore({ begin: systemClock.now() }))
  const rendezvous = stack.use(
    await startRendezvous({
      ...core,
      publicUrl: PUBLIC_URL,
      ...{ listen: ['/ip4/127.0.0.1/tcp/0'], announce: [] },
      ...{ stunListen: [{ host: '127.0.0.1', port: 0 }], stunAnnounce: [] },
      relayRate: parseRelayRate('1000'),
      randomBytes,
    }),
  )
  const organization = await core.issuing.found('Acme')
  const enrolled = await Promise.all(
    ['ant', 'bee'].map(async (name) => {
      const device = asker(name)
      const { envelopes } = await core.enrol(device, await core.key(organization))
      return { id: device.id, key: device.deviceKey, envelopes }
    }),
  )
  const state = core.hear(
    organization,
    enrolled.flatMap(({ envelopes }) => envelopes),
  )
  const { meeting } = rendezvous
  const of = (id: TestDevice['id'], meetings = [meeting]) =>
    attachTargets(meetings, state, { self: id, overlay: [], now: systemClock.now(), turn: 0 })
  const [a, b] = enrolled.map((each) =>
    leaf(stack, each, () => of(each.id), [organization, state]),
  ) as [Leaf, Leaf]
  for (const { relays } of [a, b]) {
    relays.setPeers(enrolled.map(({ id }) => ({ device: id, name: '' })))
    relays.attach()
  }
  const [, bee] = enrolled
  if (bee === undefined) throw new Error('nobody')
  await reaches(a, b, bee)
  assert.equal(a.relays.inUse(bee.id), { name: 'registry', device: undefined, by: 'udp' })
  const other = { id: relayIdOf(generateSigningKeyPair<'device'>().publicKey), device: undefined }
  const impostor = of(bee.id).map((target) => ({
    ...target,
    relays: new Map([[other.id, { ...other, name: 'registry' }]]),
  }))
  assert.ok(impostor.length > 0)
  const c = leaf(stack, bee, () => impostor, [organization, state])
  c.relays.attach()
  await systemClock.sleep(300)
  assert.is(c.changes, 0)
})

rule('attaches anew where the host has moved, or a relay is no more one', async () => {
  await using stack = new AsyncDisposableStack()
  const hub = stack.use(await startRelay())
  const [a, b] = attachedTo(stack, hub)
  await reaches(a, b, devices[1])
  b.datagrams.length = 0
  const before = b.changes
  b.relays.networkChanged()
  await until('another session', () => b.changes >= before + 2)
  await reaches(a, b, devices[1])
  const out = acme.state(
    ...[acme.issuerCertificate(), acme.manifest()],
    ...devices.map((device) => acme.certificate(device)),
    acme.certificate(hub.device, { roles: [] }),
  )
  const c = leaf(stack, devices[0], () => [targetOf(hub)], [acme.id, out])
  c.relays.setPeers([{ device: devices[1].id, name: 'bee' }])
  c.relays.attach()
  await until('attached', () => c.changes > 0)
  assert.not(c.relays.send(devices[1].id, transportMessage('x')))
})

rule('asks again where the first requests are lost, and ends with its relays', async () => {
  await using stack = new AsyncDisposableStack()
  const hub = stack.use(await startRelay())
  const nobody = { ...targetOf(hub), endpoint: parseEndpoint('127.0.0.1:9') }
  const a = leaf(stack, devices[0], () => [nobody, targetOf(hub)])
  a.relays.attach()
  await until('attached by the one that answers', () => a.changes === 1)
  a.relays[Symbol.dispose]()
  assert.is(a.changes, 2)
  assert.not(a.relays.send(devices[1].id, transportMessage('x')))
})

rule.run()
