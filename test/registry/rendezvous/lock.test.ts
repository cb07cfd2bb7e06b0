// time limit: 120 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { fromBase64, toBase64 } from '../../../crypto/bytes.ts'
import { signingKeyPairFromSeed } from '../../../crypto/signing.ts'
import { encodeApproval } from '../../../protocol/approval.ts'
import { deviceStanding } from '../../../protocol/belief.ts'
import { openEnvelope, sealEnvelope } from '../../../protocol/envelope.ts'
import { parseIssuerRequest, signIssuerRequest } from '../../../protocol/issuer-request.ts'
import type { OrganizationId } from '../../../protocol/keys.ts'
import type { Membership } from '../../../registry/enrolment.ts'
import { installIssuer, requestIssuer } from '../../../registry/issuer-installation.ts'
import { systemClock } from '../../../registry/system-clock.ts'
import type { Asker, RegistryCore } from '../../support/registry-core.ts'
import { until } from '../../support/rendezvous-peer.ts'
import { startRendezvousScene } from '../../support/rendezvous-scene.ts'

const rule = suite('rendezvous of a locked organization (SPEC §4.3)')

async function lock(core: RegistryCore, organization: OrganizationId, approver: Asker) {
  const seed = await core.custody.export(organization, core.ada())
  const root = signingKeyPairFromSeed<'root'>(fromBase64(seed))
  const wanted = { rotate: true, approvers: [approver.id] }
  const request = parseIssuerRequest(await requestIssuer(core, organization, wanted))
  const certificate = toBase64(signIssuerRequest(request, root, core.clock.now()))
  await installIssuer(core, organization, { certificate, how: 'overlap' }, core.ada())
}

function approval(organization: OrganizationId, by: Asker, on: Asker): Uint8Array {
  const claims = encodeApproval({
    ...{ sequence: 1, decision: 'approved', issuedAt: systemClock.now() },
    deviceKey: on.deviceKey.publicKey,
    wireguardKey: on.wireguardKey.publicKey,
  })
  return sealEnvelope('approval', organization, claims, by.deviceKey)
}

/** What the device is given once the registry has kept the approval: it waits some seconds to be stored. */
async function handedOn(renew: () => Promise<Membership>): Promise<readonly Uint8Array[]> {
  for (let tries = 0; tries < 100; tries += 1) {
    const { envelopes } = await renew()
    if (envelopes.some((bytes) => openEnvelope(bytes).kind === 'approval')) return envelopes
    await systemClock.sleep(100)
  }
  throw new Error('the registry hands no approval on')
}

rule('a newcomer is turned away until the approver, who hears of it, has signed', async () => {
  await using here = await startRendezvousScene()
  const { core, organization } = here
  const boss = await here.enrolled('boss')
  const connection = await boss.peer.join(here.address)
  await boss.peer.sync(connection)
  core.advance(5)
  await lock(core, organization, boss.by)
  const own = approval(organization, boss.by, boss.by)
  boss.peer.hear(own)
  await boss.peer.sync(connection, [own])

  const phone = await here.enrolled('phone')
  const refused = await phone.peer.dial(here.address)
  await phone.peer.greet(refused).catch(() => undefined)
  await until('turned away', () => refused.status !== 'open')
  const standing = () => deviceStanding(boss.peer.state(), phone.by.id, systemClock.now())
  await until('the approver has heard', () => standing() === 'not-approved')

  const word = approval(organization, boss.by, phone.by)
  boss.peer.hear(word)
  await boss.peer.sync(connection, [word])
  assert.is(standing(), undefined)
  const told = await handedOn(() => core.renew(phone.by, organization))
  for (const bytes of told) phone.peer.hear(bytes)
  await phone.peer.sync(await phone.peer.join(here.address))
  await here.restart()
  await phone.peer.sync(await phone.peer.join(here.address))
})

rule.run()
