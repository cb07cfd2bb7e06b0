// time limit: 240 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { fromHex } from '../../../crypto/bytes.ts'
import { sha256 } from '../../../crypto/hash.ts'
import { generateSigningKeyPair } from '../../../crypto/signing.ts'
import { currentManifest } from '../../../protocol/belief.ts'
import { openEnvelope, sealEnvelope } from '../../../protocol/envelope.ts'
import { encodeManifest } from '../../../protocol/manifest.ts'
import { ALLOW_ALL } from '../../../protocol/policy.ts'
import { seconds } from '../../../protocol/time.ts'
import { until } from '../../support/rendezvous-peer.ts'
import { startRendezvousScene } from '../../support/rendezvous-scene.ts'

const rule = suite('a hostile member at the registry')

const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

rule('removes nobody and numbers nothing by a manifest that it signed itself', async () => {
  await using scene = await startRendezvousScene()
  const victim = await scene.enrolled('victim')
  const mallory = await scene.enrolled('mallory')
  const { organization, core } = scene
  const now = core.clock.now()
  const issuer = generateSigningKeyPair<'issuer'>()
  const certificate = victim.envelopes
    .map(openEnvelope)
    .find(({ kind }) => kind === 'membership-certificate')
  if (certificate?.kind !== 'membership-certificate') throw new Error('no certificate')
  const forged = sealEnvelope(
    'manifest',
    organization,
    encodeManifest(
      {
        sequence: 2 ** 40,
        previous: sha256(new Uint8Array(0)),
        issuedAt: now,
        name: 'Acme',
        ranges: [],
        issuers: [issuer.publicKey],
        rendezvous: [],
        policy: ALLOW_ALL,
      },
      [{ serial: fromHex(certificate.body.serial), notAfter: seconds(now + 86_400) }],
    ),
    issuer,
  )
  // In the greeting of a hello that is admitted, and by sync.
  const connection = await mallory.peer.join(scene.address)
  await connection.close()
  const again = await mallory.peer.dial(scene.address)
  await mallory.peer.greetWith(again, [...mallory.envelopes, forged])
  await mallory.peer.sync(again, [forged])
  await wait(300)
  assert.ok(await core.devices.get(organization, victim.by.id), 'the victim is a device still')
  const known = (await core.issuing.envelopes(organization)).map(openEnvelope)
  const state = core.hear(
    organization,
    known.map(({ bytes }) => bytes),
  )
  assert.is(currentManifest(state, now)?.body.sequence, 1)
  assert.not.ok(core.logged.some(({ event }) => event === 'registry.was-behind'))
})

rule('is thrown out for streams or connections without end, and named once', async () => {
  await using scene = await startRendezvousScene()
  const { core } = scene
  const told = (event: string, peer: string) =>
    core.logged.filter(
      (line) => line.event === event && line.level === 'warn' && line.fields?.['peer'] === peer,
    )
  const mallory = await scene.enrolled('mallory')
  const connection = await mallory.peer.join(scene.address)
  for (let n = 0; n < 30 && connection.status === 'open'; n++) {
    const opened = Array.from({ length: 200 }, () =>
      connection.newStream('/ipfs/ping/1.0.0').catch(() => undefined),
    )
    await Promise.all(opened)
  }
  await until('it is thrown out', () => connection.status !== 'open')
  assert.is(told('rendezvous.device-misbehaves', mallory.peer.peerId).length, 1)
  const trudy = await scene.enrolled('trudy')
  let joined = 0
  const join = () =>
    trudy.peer.join(scene.address).then(
      (each) => each.close().then(() => true),
      () => false,
    )
  while (joined < 200 && (await join())) joined += 1
  assert.ok(joined >= 60 && joined < 120, `${joined} connections`)
  await until('it is named', () => told('rendezvous.peer-refused', trudy.peer.peerId).length === 1)
})

rule.run()
