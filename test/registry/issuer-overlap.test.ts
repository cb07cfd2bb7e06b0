// time limit: 120 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { currentManifest, memberOf, membersOf } from '../../protocol/belief.ts'
import { openEnvelope } from '../../protocol/envelope.ts'
import type { OrganizationId } from '../../protocol/keys.ts'
import type { OrganizationState } from '../../protocol/state.ts'
import { certifyConnected, renewIssuers, rotateIssuer } from '../../registry/issuer-renewal.ts'
import { Refused } from '../../registry/refusal.ts'
import { type Asker, asker, type RegistryCore, startCore } from '../support/registry-core.ts'

const rule = suite('issuer overlap (SPEC §5.6)')
const HOUR = 3600
const DAY = 24 * HOUR

interface Scene {
  readonly core: RegistryCore
  readonly organization: OrganizationId
  readonly a: Asker
  readonly b: Asker
  /** What everybody knew before. */
  readonly before: OrganizationState
}

async function scene(core: RegistryCore): Promise<Scene> {
  const organization = await core.issuing.found('Acme')
  const key = await core.key(organization)
  const [a, b] = [asker('a'), asker('b')]
  for (const each of [a, b]) await core.enrol(each, key)
  const before = core.hear(organization, await core.issuing.envelopes(organization))
  return { core, organization, a, b, before }
}

const overlap = ({ core, organization }: Scene) =>
  rotateIssuer(core, organization, 'overlap', core.ada())
const issuersOf = (state: OrganizationState, { core }: Scene) =>
  currentManifest(state, core.clock.now())?.body.issuers.length
const signerOf = (state: OrganizationState, { core }: Scene, device: Asker) =>
  memberOf(state, device.id, core.clock.now())?.envelope.signer

rule(
  'the next issuer is listed beside the one before, and every certificate still counts',
  async () => {
    await using core = await startCore()
    const acme = await scene(core)
    const told: Uint8Array[] = []
    core.issuing.onIssued(({ envelopes }) => void told.push(...envelopes))
    await overlap(acme)
    assert.equal(
      told.map((bytes) => openEnvelope(bytes).kind),
      ['issuer-certificate', 'manifest'],
    )
    let state = acme.before
    for (const envelope of told) {
      state = core.hear(acme.organization, [envelope], state)
      assert.is(membersOf(state, core.clock.now()).size, 2, 'nobody is dropped on the way')
    }
    assert.is(issuersOf(state, acme), 2)
    assert.is(
      currentManifest(state, core.clock.now())?.signer,
      [...state.issuerCertificates.keys()][1],
    )
    assert.is(core.logged.at(-1)?.event, 'issuer.rotated')
  },
)

rule(
  'devices that renew get certificates of the next issuer; those before it count on',
  async () => {
    await using core = await startCore()
    const acme = await scene(core)
    const [old] = [...acme.before.issuerCertificates.keys()]
    await overlap(acme)
    const { envelopes } = await core.renew(acme.a, acme.organization)
    assert.equal(
      envelopes.map((bytes) => openEnvelope(bytes).kind),
      ['issuer-certificate', 'issuer-certificate', 'manifest', 'membership-certificate'],
    )
    const state = core.hear(acme.organization, envelopes, acme.before)
    assert.is.not(signerOf(state, acme, acme.a), old)
    assert.is(signerOf(state, acme, acme.b), old)
  },
)

rule('a newcomer, who has heard of neither issuer, believes members of both', async () => {
  await using core = await startCore()
  const acme = await scene(core)
  await overlap(acme)
  await core.renew(acme.a, acme.organization)
  const state = core.hear(acme.organization, await core.issuing.envelopes(acme.organization))
  assert.is(membersOf(state, core.clock.now()).size, 2)
})

rule('devices that are connected are certified at once, each once', async () => {
  await using core = await startCore()
  const acme = await scene(core)
  const [old] = [...acme.before.issuerCertificates.keys()]
  await overlap(acme)
  let told = 0
  core.issuing.onIssued(({ envelopes }) => {
    told += envelopes.length
  })
  await certifyConnected(core, () => [{ device: acme.a.id }])
  await certifyConnected(core, () => [{ device: acme.a.id }])
  assert.is(told, 1)
  const state = core.hear(acme.organization, await core.issuing.envelopes(acme.organization))
  assert.is.not(signerOf(state, acme, acme.a), old)
  assert.is(signerOf(state, acme, acme.b), old)
})

rule(
  'the issuer before is dropped when its last certificate has ended, and not before',
  async () => {
    await using core = await startCore()
    const acme = await scene(core)
    await overlap(acme)
    core.advance(HOUR)
    await core.renew(acme.a, acme.organization)
    await renewIssuers(core)
    const during = core.hear(acme.organization, await core.issuing.envelopes(acme.organization))
    assert.is(issuersOf(during, acme), 2)
    core.advance(DAY)
    await renewIssuers(core)
    await renewIssuers(core)
    const after = core.hear(acme.organization, await core.issuing.envelopes(acme.organization))
    assert.is(issuersOf(after, acme), 1)
    assert.is(after.issuerCertificates.size, 1)
    assert.is(core.logged.filter(({ event }) => event === 'issuer.overlap-ended').length, 1)
  },
)

rule('an agent that slept through the beginning keeps everybody, and is kept', async () => {
  await using core = await startCore()
  const acme = await scene(core)
  await overlap(acme)
  const { envelopes } = await core.renew(acme.a, acme.organization)
  core.advance(6 * HOUR)
  // It wakes with what it knew, and hears a manifest whose issuer it does not know.
  const manifest = envelopes.filter((bytes) => openEnvelope(bytes).kind === 'manifest')
  const waking = core.hear(acme.organization, manifest, acme.before)
  assert.is(membersOf(waking, core.clock.now()).size, 2)
  // What the others tell it, in any order, brings it to the same belief.
  const everything = await core.issuing.envelopes(acme.organization)
  for (const order of [everything, everything.toReversed()]) {
    const state = core.hear(acme.organization, order, waking)
    assert.is(membersOf(state, core.clock.now()).size, 2)
    assert.is(issuersOf(state, acme), 2)
  }
})

rule('an agent that slept through all of it finds the others, and renews', async () => {
  await using core = await startCore()
  const acme = await scene(core)
  await overlap(acme)
  for (let day = 0; day < 3; day += 1) {
    core.advance(DAY / 2)
    await core.renew(acme.a, acme.organization)
    await renewIssuers(core)
  }
  const { envelopes } = await core.renew(acme.b, acme.organization)
  const state = core.hear(
    acme.organization,
    [...envelopes, ...(await core.issuing.envelopes(acme.organization))],
    acme.before,
  )
  assert.is(membersOf(state, core.clock.now()).size, 2)
  assert.is(issuersOf(state, acme), 1)
})

rule('a device removed in the overlap is out, whichever issuer has signed for it', async () => {
  await using core = await startCore()
  const acme = await scene(core)
  await overlap(acme)
  await core.renew(acme.a, acme.organization)
  const everything = await core.issuing.envelopes(acme.organization)
  await core.devices.remove(acme.organization, acme.a.id)
  await core.devices.remove(acme.organization, acme.b.id)
  const foundation = await core.issuing.foundation(acme.organization)
  const state = core.hear(acme.organization, [...everything, ...foundation], acme.before)
  assert.is(membersOf(state, core.clock.now()).size, 0)
})

rule('a rotation at once ends an overlap, too', async () => {
  await using core = await startCore()
  const acme = await scene(core)
  await overlap(acme)
  await rotateIssuer(core, acme.organization, 'at-once', core.ada())
  const state = core.hear(
    acme.organization,
    await core.issuing.envelopes(acme.organization),
    acme.before,
  )
  assert.is(issuersOf(state, acme), 1)
  assert.is(membersOf(state, core.clock.now()).size, 2)
})

rule('more issuers than a manifest lists are refused, and nothing is changed', async () => {
  await using core = await startCore()
  const acme = await scene(core)
  for (let count = 0; count < 7; count += 1) await overlap(acme)
  const before = await core.issuing.foundation(acme.organization)
  const refused = await overlap(acme).catch((error: unknown) => error)
  assert.ok(refused instanceof Refused && refused.code === 'too-many-issuers')
  assert.equal(await core.issuing.foundation(acme.organization), before)
  await core.renew(acme.a, acme.organization)
})

rule.run()
