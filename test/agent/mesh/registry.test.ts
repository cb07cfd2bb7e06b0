import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { peerIdOf } from '../../../agent/mesh/device-peer.ts'
import { systemClock } from '../../../agent/system-clock.ts'
import { randomBytes } from '../../../crypto/random.ts'
import { encodeEndpointUpdate } from '../../../protocol/endpoint-update.ts'
import { sealEnvelope } from '../../../protocol/envelope.ts'
import type { OrganizationId } from '../../../protocol/keys.ts'
import { parseRelayRate } from '../../../protocol/relay-rate.ts'
import { seconds } from '../../../protocol/time.ts'
import { type Rendezvous, startRendezvous } from '../../../registry/rendezvous/rendezvous.ts'
import type { TestDevice } from '../../support/organization.ts'
import { asker, PUBLIC_URL, type RegistryCore, startCore } from '../../support/registry-core.ts'
import { transportMessage } from '../../support/wireguard-message.ts'
import { type MeshAgent, saysWarning, startAgent, until } from './mesh-agent.ts'

const rule = suite('mesh with a registry')

interface World extends AsyncDisposable {
  readonly core: RegistryCore
  readonly rendezvous: Rendezvous
  found(name: string): Promise<OrganizationId>
  /** An enrolled device that nobody can dial and that knows only what enrolment told it. */
  join(organization: OrganizationId, name: string): Promise<MeshAgent>
}

const startWorld = async (): Promise<World> => {
  const stack = new AsyncDisposableStack()
  const core = stack.use(await startCore({ begin: systemClock.now() }))
  const rendezvous = stack.use(
    await startRendezvous({
      ...core,
      publicUrl: PUBLIC_URL,
      listen: ['/ip4/127.0.0.1/tcp/0'],
      announce: [],
      stunListen: [],
      stunAnnounce: [],
      relayRate: parseRelayRate('1000'),
      randomBytes,
    }),
  )
  return {
    core,
    rendezvous,
    found: (name) => core.issuing.found(name),
    join: async (organization, name) => {
      const device = asker(name)
      const { envelopes } = await core.enrol(device, await core.key(organization))
      const identity = { ...device, key: device.deviceKey } as unknown as TestDevice
      return stack.use(
        await startAgent({ id: organization, device: () => identity }, name, {
          initial: core.hear(organization, envelopes),
          listen: [],
          rendezvous: () => rendezvous.meeting.multiaddrs,
        }),
      )
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}

const kindsTo = (agent: MeshAgent, to: MeshAgent | 'registry'): readonly string[] =>
  agent.mesh
    .connections()
    .filter(({ device }) => device === (to === 'registry' ? to : to.device.id))
    .map(({ kind }) => kind)
const update = (agent: MeshAgent, organization: OrganizationId, sequence: number): Uint8Array =>
  sealEnvelope(
    'endpoint-update',
    organization,
    encodeEndpointUpdate({
      sequence,
      issuedAt: systemClock.now(),
      notAfter: seconds(systemClock.now() + 600),
      candidates: [],
      multiaddrs: agent.mesh.multiaddrs(),
      natMapping: 'unknown',
      system: 'test',
    }),
    agent.device.key,
  )
const sequenceAt = (agent: MeshAgent, of: MeshAgent): number =>
  agent.state().endpoints.get(of.device.id)?.body.sequence ?? 0

rule('brings two enrolled devices together that know nothing but the registry', async () => {
  await using world = await startWorld()
  const acme = await world.found('Acme')
  const a = await world.join(acme, 'ant')
  await until('a is at the registry', () => kindsTo(a, 'registry').length === 1)
  const b = await world.join(acme, 'bee')
  await until(
    'each knows the other',
    () => a.state().memberships.size === 2 && b.state().memberships.size === 2,
  )
  await until('a circuit', () => kindsTo(a, b).includes('circuit'))
  await b.publish(update(b, acme, 3))
  await until('a knows where b is', () => sequenceAt(a, b) === 3)
  assert.match(a.state().endpoints.get(b.device.id)?.body.multiaddrs[0] ?? '', /p2p-circuit$/)
})

rule('carries datagrams through the registry', async () => {
  await using world = await startWorld()
  const acme = await world.found('Acme')
  const [a, b] = [await world.join(acme, 'ant'), await world.join(acme, 'bee')]
  await until('each knows the other', () =>
    [a, b].every((each) => each.state().memberships.size === 2),
  )
  await until('sent', () => a.relays.send(b.device.id, transportMessage('ping')))
  await until('came', () => b.datagrams.length > 0)
  assert.equal(b.datagrams[0], { from: a.device.id, text: 'ping' })
  assert.ok(a.relays.names(b.device.id).includes('registry'))
})

rule('makes every device drop one that is removed, and keeps it out', async () => {
  await using world = await startWorld()
  const acme = await world.found('Acme')
  const [a, b, c] = [
    await world.join(acme, 'ant'),
    await world.join(acme, 'bee'),
    await world.join(acme, 'cow'),
  ]
  const apart = (): boolean =>
    kindsTo(a, c).length === 0 && kindsTo(b, c).length === 0 && kindsTo(c, 'registry').length === 0
  await until('all together', () => kindsTo(a, c).length > 0 && kindsTo(b, c).length > 0)
  await world.core.devices.remove(acme, c.device.id)
  await until('dropped everywhere', apart)
  await systemClock.sleep(2000)
  assert.ok(apart())
  assert.equal(a.relays.names(c.device.id), [])
})

rule('keeps two organizations of one registry apart', async () => {
  await using world = await startWorld()
  const [acme, evil] = [await world.found('Acme'), await world.found('Evil')]
  const [a, spy] = [await world.join(acme, 'ant'), await world.join(evil, 'spy')]
  await until('both there', () => [a, spy].every((each) => kindsTo(each, 'registry').length === 1))
  const [relay] = world.rendezvous.meeting.multiaddrs
  spy.mesh.setPeers([
    {
      device: a.device.id,
      name: 'ant',
      updateSequence: 0,
      multiaddrs: [`${relay}/p2p-circuit/p2p/${peerIdOf(a.device.id).toString()}`],
      overlayAddresses: [],
    },
  ])
  spy.relays.send(a.device.id, transportMessage('spam'))
  await systemClock.sleep(1500)
  spy.relays.send(a.device.id, transportMessage('spam'))
  await systemClock.sleep(200)
  assert.equal([kindsTo(spy, a), kindsTo(a, spy), a.datagrams], [[], [], []])
  assert.equal(saysWarning(a, 'mesh.peer-refused'), [])
  assert.is(a.state().memberships.size, 1)
})

rule('goes on without the registry, and finds it again when it is back', async () => {
  await using world = await startWorld()
  const acme = await world.found('Acme')
  const [a, b] = [await world.join(acme, 'ant'), await world.join(acme, 'bee')]
  await until('at the registry', () =>
    [a, b].every((each) => kindsTo(each, 'registry').length === 1),
  )
  const { multiaddrs } = world.rendezvous.meeting
  await world.rendezvous[Symbol.asyncDispose]()
  await until('noticed', () => kindsTo(a, 'registry').length + kindsTo(b, 'registry').length === 0)
  await b.publish(update(b, acme, 9))
  await using _again = await startRendezvous({
    ...world.core,
    publicUrl: PUBLIC_URL,
    listen: multiaddrs.map((each) => each.replace(/\/p2p\/.*/, '')),
    announce: [],
    stunListen: [],
    stunAnnounce: [],
    relayRate: parseRelayRate('1000'),
    randomBytes,
  })
  await until('back', () => [a, b].every((each) => kindsTo(each, 'registry').length === 1))
  await until('what was said meanwhile arrives', () => sequenceAt(a, b) === 9)
})

rule.run()
