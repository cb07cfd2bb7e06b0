import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { randomBytes } from '../../../crypto/random.ts'
import { generateSigningKeyPair } from '../../../crypto/signing.ts'
import { openEnvelope } from '../../../protocol/envelope.ts'
import { deviceIdOf, type OrganizationId } from '../../../protocol/keys.ts'
import { seconds } from '../../../protocol/time.ts'
import { systemClock } from '../../../registry/system-clock.ts'
import { asker, type RegistryCore, startCore } from '../../support/registry-core.ts'
import { type RendezvousPeer, startPeer, until } from '../../support/rendezvous-peer.ts'
import { startRendezvousScene } from '../../support/rendezvous-scene.ts'

const rule = suite('rendezvous admission')

const warnings = (core: RegistryCore) => core.logged.filter(({ level }) => level === 'warn')

/** True when the registry ends the connection, and nothing was opened on it before. */
async function isRefused(
  peer: RendezvousPeer,
  address: string,
  core: RegistryCore,
  reason: string,
) {
  const connection = await peer.dial(address)
  const verdict = await peer.greet(connection).catch((error: unknown) => error)
  await until('connection ended', () => connection.status !== 'open')
  const [warning] = warnings(core)
  assert.is(warnings(core).length, 1)
  assert.is(warning?.event, 'rendezvous.peer-refused')
  assert.is(warning?.fields['peer'], peer.peerId)
  assert.is(warning?.fields['reason'], reason)
  return verdict
}

rule('admits a member, which learns that this is the registry of its organization', async () => {
  await using here = await startRendezvousScene()
  const { peer } = await here.enrolled('laptop')
  const connection = await peer.dial(here.address)
  const verdict = await peer.greet(connection)
  assert.equal(verdict.ok && verdict.who, { kind: 'registry' })
  await until('connected', () => here.rendezvous.connected(here.organization).length === 1)
  assert.is(here.rendezvous.connected(here.organization)[0]?.name, 'laptop')
  await connection.close()
  await until('gone', () => here.rendezvous.connected(here.organization).length === 0)
})

rule('ends the connection of a stranger without a certificate, and speaks of it once', async () => {
  await using here = await startRendezvousScene()
  const foundation = await here.core.issuing.foundation(here.organization)
  const key = generateSigningKeyPair<'device'>()
  await using peer = await startPeer(key, here.organization, foundation)
  await isRefused(peer, here.address, here.core, 'not-member')
  for (let again = 0; again < 20; again++) {
    const connection = await peer.dial(here.address).catch(() => undefined)
    if (connection) await until('turned away', () => connection.status !== 'open')
  }
  assert.is(warnings(here.core).length, 1)
})

rule('refuses a member whose certificate has ended', async () => {
  await using here = await startRendezvousScene()
  const { peer } = await here.enrolled('laptop')
  here.core.advance(86_400)
  // The device's clock is the registry's: it has not noticed.
  const connection = await peer.dial(here.address)
  await peer.greet(connection).catch(() => undefined)
  await until('connection ended', () => connection.status !== 'open')
  assert.is(warnings(here.core).length, 1)
})

rule('refuses a member of an organization that is not here', async () => {
  await using here = await startRendezvousScene()
  await using elsewhere = await startCore()
  const other = await elsewhere.issuing.found('Umbrella')
  const by = asker('laptop')
  const { envelopes } = await elsewhere.enrol(by, await elsewhere.key(other))
  await using peer = await startPeer(by.deviceKey, other, envelopes)
  await isRefused(peer, here.address, here.core, 'wrong-organization')
})

rule(
  'refuses a device of another organization of this registry that greets as one of this',
  async () => {
    await using here = await startRendezvousScene()
    const other = await here.core.issuing.found('Umbrella')
    const by = asker('laptop')
    const { envelopes } = await here.core.enrol(by, await here.core.key(other))
    const foundation = await here.core.issuing.foundation(here.organization)
    await using peer = await startPeer(by.deviceKey, here.organization, [
      ...foundation,
      ...envelopes,
    ])
    await isRefused(peer, here.address, here.core, 'not-member')
  },
)

rule('refuses a revoked device, with all the certificates it ever had', async () => {
  await using here = await startRendezvousScene()
  const { by, peer } = await here.enrolled('laptop')
  await here.core.devices.remove(here.organization, by.id)
  await isRefused(peer, here.address, here.core, 'revoked')
})

rule('refuses who shows the certificate of another device', async () => {
  await using here = await startRendezvousScene()
  const { envelopes, by } = await here.enrolled('laptop')
  const thief = generateSigningKeyPair<'device'>()
  await using peer = await startPeer(thief, here.organization, envelopes)
  const connection = await peer.dial(here.address)
  const party = (device: string, key: typeof thief) => ({
    organization: here.organization,
    key,
    device: device as typeof by.id,
    state: peer.state,
    learn: () => undefined,
  })
  await peer.greet(connection, party(by.id, thief)).catch(() => undefined)
  await until('connection ended', () => connection.status !== 'open')
  assert.is(warnings(here.core)[0]?.fields['reason'], 'not-member')
  assert.is(deviceIdOf(thief.publicKey), peer.device)
})

rule('refuses a proof signed by the member’s key on the connection of another peer', async () => {
  await using here = await startRendezvousScene()
  const { envelopes, by } = await here.enrolled('laptop')
  await using peer = await startPeer(
    generateSigningKeyPair<'device'>(),
    here.organization,
    envelopes,
  )
  const connection = await peer.dial(here.address)
  await peer
    .greet(connection, {
      organization: here.organization,
      key: by.deviceKey,
      device: by.id,
      state: peer.state,
      learn: () => undefined,
    })
    .catch(() => undefined)
  await until('connection ended', () => connection.status !== 'open')
  assert.is(warnings(here.core)[0]?.fields['reason'], 'bad-proof')
})

rule('ends a connection that says no hello in 3 seconds, and opens no protocol on it', async () => {
  await using here = await startRendezvousScene()
  const { peer } = await here.enrolled('laptop')
  const connection = await peer.dial(here.address)
  const stream = connection.newStream('/nexodus/sync/1').catch((error: unknown) => error)
  const waitedMs = await until('connection ended', () => connection.status !== 'open', 4000)
  assert.ok(waitedMs > 2500)
  await stream
  assert.equal(here.rendezvous.connected(here.organization), [])
})

rule('answers nothing before the hello, not even a ping or who it is', async () => {
  await using here = await startRendezvousScene()
  const { peer } = await here.enrolled('laptop')
  const connection = await peer.dial(here.address)
  for (const protocol of [
    '/ipfs/ping/1.0.0',
    '/ipfs/id/1.0.0',
    '/libp2p/circuit/relay/0.2.0/hop',
  ]) {
    const stream = await connection.newStream(protocol)
    let answered = false
    stream.addEventListener('message', () => {
      answered = true
    })
    if (protocol.includes('ping')) stream.send(new Uint8Array(32))
    await systemClock.sleep(100)
    assert.is(answered, false, protocol)
    stream.abort(new Error('enough'))
  }
  await peer.greet(connection)
  assert.type(await peer.node.services.ping.ping(connection.remotePeer), 'number')
})

rule('refuses garbage instead of a hello', async () => {
  await using here = await startRendezvousScene()
  for (const frame of [
    new Uint8Array(0),
    new Uint8Array(8193),
    randomBytes(200),
    Uint8Array.of(0xa0),
  ]) {
    await using peer = await startPeer(
      generateSigningKeyPair<'device'>(),
      here.organization as OrganizationId,
      [],
    )
    const connection = await peer.dial(here.address)
    const stream = await connection.newStream('/nexodus/hello/1')
    stream.send(Uint8Array.of(0x80 | (frame.length & 0x7f), frame.length >> 7))
    stream.send(frame)
    await until('connection ended', () => connection.status !== 'open')
  }
  assert.is(warnings(here.core).length, 4)
})

rule('a device that is a member again is admitted at once', async () => {
  await using here = await startRendezvousScene()
  const { by, peer } = await here.enrolled('laptop')
  here.core.advance(86_400)
  const connection = await peer.dial(here.address)
  await peer.greet(connection).catch(() => undefined)
  await until('connection ended', () => connection.status !== 'open')
  // Back to the present, or the device's own clock would refuse what is issued.
  here.core.advance(-86_400)
  const { envelopes } = await here.core.renew(by, here.organization)
  for (const bytes of envelopes) peer.hear(bytes)
  await peer.join(here.address)
})

rule('a device whose certificate ends while it is connected is dropped', async () => {
  await using here = await startRendezvousScene()
  const { by, peer } = await here.enrolled('laptop')
  const connection = await peer.join(here.address)
  const issued = (await here.core.issuing.envelopes(here.organization)).map(openEnvelope)
  assert.ok(
    issued.some((each) => each.kind === 'membership-certificate' && each.body.device === by.id),
  )
  here.core.advance(seconds(86_401))
  // Any news makes the registry look; without news it looks every 30 s.
  await here.core.enrol(asker('phone'), await here.core.key(here.organization))
  await until('dropped', () => connection.status !== 'open')
})

rule.run()
