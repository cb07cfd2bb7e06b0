import { cp } from 'node:fs/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { deviceStanding, equivocation, memberOf } from '../../protocol/belief.ts'
import { openEnvelope } from '../../protocol/envelope.ts'
import { catchUp } from '../../registry/catch-up.ts'
import type { Refused } from '../../registry/refusal.ts'
import { temporaryDirectory } from '../support/registry.ts'
import { asker, startCore } from '../support/registry-core.ts'

const rule = suite('catch-up')

/** A registry with two devices, a backup of it, and then the first device is removed. */
async function restored() {
  const core = await startCore()
  const organization = await core.issuing.found('Acme')
  const key = await core.key(organization)
  const [laptop, phone] = [asker('laptop'), asker('phone')]
  for (const device of [laptop, phone]) await core.enrol(device, key)
  await core[Symbol.asyncDispose]()
  const backup = await temporaryDirectory()
  await cp(core.stateDirectory, backup, { recursive: true })
  const later = await startCore({ stateDirectory: core.stateDirectory })
  await later.devices.remove(organization, laptop.id)
  const known = await later.issuing.envelopes(organization)
  await later[Symbol.asyncDispose]()
  return { core: await startCore({ stateDirectory: backup }), organization, laptop, phone, known }
}

const manifestIn = (envelopes: readonly Uint8Array[]) => {
  const found = envelopes.map(openEnvelope).find(({ kind }) => kind === 'manifest')
  if (found?.kind !== 'manifest') throw new Error('no manifest')
  return found
}

rule(
  'a restored registry numbers on from what devices know, and the removed stays removed',
  async () => {
    const { core, organization, laptop, phone, known } = await restored()
    await using _ = core
    assert.ok(await core.devices.get(organization, laptop.id), 'the backup has it still')
    await catchUp(core.issuing, manifestIn(known), core.log)
    assert.is(core.logged.at(-1)?.event, 'registry.was-behind')
    assert.is(await core.devices.get(organization, laptop.id), undefined)
    const renewal = await core.renew(laptop, organization).catch((error: unknown) => error)
    assert.is((renewal as Refused).code, 'device-removed')
    await core.devices.remove(organization, phone.id)
    const now = core.clock.now()
    const state = core.hear(
      organization,
      await core.issuing.envelopes(organization),
      core.hear(organization, known),
    )
    assert.equal(equivocation(state, now), [])
    for (const { id } of [laptop, phone]) assert.is(memberOf(state, id, now), undefined)
    assert.is(deviceStanding(state, phone.id, now), 'revoked')
  },
)

rule(
  'a manifest of a number that was used again is outdone by a third, with the revocations of both',
  async () => {
    const { core, organization, laptop, phone, known } = await restored()
    await using _ = core
    await core.devices.remove(organization, phone.id)
    const fork = manifestIn(await core.issuing.envelopes(organization))
    assert.is(fork.body.sequence, manifestIn(known).body.sequence)
    await catchUp(core.issuing, manifestIn(known), core.log)
    const now = core.clock.now()
    let state = core.hear(organization, [...known, fork.bytes])
    assert.is(equivocation(state, now).length, 2)
    state = core.hear(organization, await core.issuing.envelopes(organization), state)
    assert.equal(equivocation(state, now), [])
    for (const { id } of [laptop, phone]) assert.is(memberOf(state, id, now), undefined)
  },
)

rule('what the registry has or outdid changes nothing', async () => {
  const { core, organization, known } = await restored()
  await using _ = core
  const manifest = manifestIn(known)
  await catchUp(core.issuing, manifest, core.log)
  const before = await core.issuing.envelopes(organization)
  await catchUp(core.issuing, manifest, core.log)
  await catchUp(core.issuing, manifestIn(before), core.log)
  assert.equal(await core.issuing.envelopes(organization), before)
})

rule.run()
