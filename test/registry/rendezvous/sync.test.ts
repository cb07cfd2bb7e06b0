import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parsePrefix } from '../../../protocol/address.ts'
import { deviceStanding, memberOf, membersOf } from '../../../protocol/belief.ts'
import { encodeEndpointUpdate } from '../../../protocol/endpoint-update.ts'
import { sealEnvelope } from '../../../protocol/envelope.ts'
import type { DeviceKeyPair, OrganizationId } from '../../../protocol/keys.ts'
import { encodeManifest } from '../../../protocol/manifest.ts'
import { ALLOW_ALL } from '../../../protocol/policy.ts'
import { seconds } from '../../../protocol/time.ts'
import { standardRanges } from '../../../registry/ranges.ts'
import { systemClock } from '../../../registry/system-clock.ts'
import { asker } from '../../support/registry-core.ts'
import { until } from '../../support/rendezvous-peer.ts'
import { startRendezvousScene } from '../../support/rendezvous-scene.ts'

const rule = suite('rendezvous sync')

function endpoints(organization: OrganizationId, key: DeviceKeyPair, sequence: number): Uint8Array {
  const now = systemClock.now()
  const claims = encodeEndpointUpdate({
    sequence,
    issuedAt: now,
    notAfter: seconds(now + 3600),
    candidates: [],
    multiaddrs: [`/ip4/192.0.2.1/tcp/${sequence}`],
    natMapping: 'unknown',
    system: 'test',
  })
  return sealEnvelope('endpoint-update', organization, claims, key)
}

rule('a device that syncs learns all members, and the registry learns its endpoints', async () => {
  await using here = await startRendezvousScene()
  const [laptop, phone] = [await here.enrolled('laptop'), await here.enrolled('phone')]
  laptop.peer.hear(endpoints(here.organization, laptop.by.deviceKey, 7))
  await laptop.peer.sync(await laptop.peer.join(here.address))
  assert.is(membersOf(laptop.peer.state(), systemClock.now()).size, 2)
  await phone.peer.sync(await phone.peer.join(here.address))
  const member = memberOf(phone.peer.state(), laptop.by.id, systemClock.now())
  assert.is(member?.endpoints?.body.sequence, 7)
})

rule('what one device says the registry tells the others at once', async () => {
  await using here = await startRendezvousScene()
  const [laptop, phone] = [await here.enrolled('laptop'), await here.enrolled('phone')]
  await phone.peer.join(here.address)
  const connection = await laptop.peer.join(here.address)
  const said = endpoints(here.organization, laptop.by.deviceKey, 1)
  phone.peer.hear(laptop.envelopes.at(-1) ?? said)
  laptop.peer.hear(said)
  await laptop.peer.sync(connection, [said])
  await until('heard', () => {
    const member = memberOf(phone.peer.state(), laptop.by.id, systemClock.now())
    return member?.endpoints?.body.sequence === 1
  })
})

rule(
  'a removal reaches every connected device, and ends the connection of the removed one',
  async () => {
    await using here = await startRendezvousScene()
    const cast = await Promise.all(['a', 'b', 'c', 'd'].map((name) => here.enrolled(name)))
    const connections = await Promise.all(cast.map(({ peer }) => peer.join(here.address)))
    await Promise.all(cast.map(({ peer }, index) => peer.sync(connections[index] ?? fail())))
    const [removed, ...others] = cast
    const id = removed?.by.id ?? fail()
    const began = performance.now()
    await here.core.devices.remove(here.organization, id)
    await until('everybody knows', () =>
      others.every(({ peer }) => deviceStanding(peer.state(), id, systemClock.now()) === 'revoked'),
    )
    await until('dropped', () => connections[0]?.status !== 'open')
    assert.ok(performance.now() - began < 1000, 'about a round trip')
    assert.ok(connections.slice(1).every(({ status }) => status === 'open'))
    const again = await removed?.peer.dial(here.address).catch(() => undefined)
    if (again) await until('turned away', () => again.status !== 'open')
  },
)

rule('a grant reaches the device and everybody else without their asking', async () => {
  await using here = await startRendezvousScene()
  const [laptop, phone] = [await here.enrolled('laptop'), await here.enrolled('phone')]
  for (const { peer } of [laptop, phone]) await peer.join(here.address)
  const prefixes = [parsePrefix('10.99.0.1/32')]
  await here.core.devices.change(here.organization, laptop.by.id, { prefixes })
  for (const { peer } of [laptop, phone]) {
    await until('heard', () => {
      const known = memberOf(peer.state(), laptop.by.id, systemClock.now())
      return known?.certificate.prefixes[0] === prefixes[0]
    })
  }
})

rule('nothing of one organization reaches a device of another', async () => {
  await using here = await startRendezvousScene()
  const other = await here.core.issuing.found('Umbrella')
  const [laptop, spy] = [await here.enrolled('laptop'), await here.enrolled('spy', other)]
  await laptop.peer.join(here.address)
  const connection = await spy.peer.join(here.address)
  const said = endpoints(here.organization, laptop.by.deviceKey, 1)
  // It even tells the registry what it overheard.
  await spy.peer.sync(connection, [said])
  await here.core.devices.change(here.organization, laptop.by.id, { groups: ['x'] })
  await spy.peer.sync(connection)
  assert.equal([...membersOf(spy.peer.state(), systemClock.now()).keys()], [spy.by.id])
  assert.is(laptop.peer.state().endpoints.size, 0)
})

rule('a registry that was restarted knows where devices are', async () => {
  await using here = await startRendezvousScene()
  const [laptop, phone] = [await here.enrolled('laptop'), await here.enrolled('phone')]
  const said = endpoints(here.organization, laptop.by.deviceKey, 5)
  laptop.peer.hear(said)
  await laptop.peer.sync(await laptop.peer.join(here.address), [said])
  await here.restart()
  await phone.peer.sync(await phone.peer.join(here.address))
  const member = memberOf(phone.peer.state(), laptop.by.id, systemClock.now())
  assert.is(member?.endpoints?.body.sequence, 5)
})

rule('numbers on from a manifest that devices know and the store has lost', async () => {
  await using here = await startRendezvousScene()
  const { peer } = await here.enrolled('laptop')
  const issuer = await here.core.issuing.issuerKey(here.organization)
  const claims = encodeManifest(
    {
      sequence: 7,
      previous: new Uint8Array(32),
      issuedAt: systemClock.now(),
      name: 'Acme',
      ranges: standardRanges(here.organization),
      issuers: [issuer.publicKey],
      rendezvous: [],
      policy: ALLOW_ALL,
    },
    [],
  )
  const lost = sealEnvelope('manifest', here.organization, claims, issuer)
  peer.hear(lost)
  await peer.sync(await peer.join(here.address), [lost])
  const isTold = () => here.core.logged.some(({ event }) => event === 'registry.was-behind')
  await until('caught up', isTold)
  await here.core.issuing.setRendezvous([{ multiaddrs: [], stun: ['192.0.2.1:1'] }])
  const sequences = () => [...peer.state().manifests.values()].map(({ body }) => body.sequence)
  await until('the next manifest', () => sequences().includes(8))
})

rule('drops a device that sends what is no envelope, and speaks of it once', async () => {
  await using here = await startRendezvousScene()
  const { peer } = await here.enrolled('laptop')
  const connection = await peer.join(here.address)
  const stream = await connection.newStream('/nexodus/sync/1')
  stream.send(Uint8Array.of(4, 1, 2, 3, 4))
  await until('dropped', () => connection.status !== 'open')
  const told = here.core.logged.filter(({ level }) => level === 'warn')
  assert.equal(
    told.map(({ event }) => event),
    ['rendezvous.device-misbehaves'],
  )
})

rule('a device that enrols while others are connected is known to them at once', async () => {
  await using here = await startRendezvousScene()
  const { peer } = await here.enrolled('laptop')
  await peer.join(here.address)
  const phone = asker('phone')
  await here.core.enrol(phone, await here.core.key(here.organization))
  await until('known', () => memberOf(peer.state(), phone.id, systemClock.now()) !== undefined)
})

function fail(): never {
  throw new Error('not reached')
}

rule.run()
