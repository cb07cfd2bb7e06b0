/** What members do leaves admins room to put somebody out. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { toHex } from '../../crypto/bytes.ts'
import { randomBytes } from '../../crypto/random.ts'
import { currentManifest } from '../../protocol/belief.ts'
import { REVOCATIONS, SERIAL_BYTES } from '../../protocol/limits.ts'
import { seconds } from '../../protocol/time.ts'
import { lookForDevices } from '../../registry/device-presence.ts'
import { openDevices } from '../../registry/devices.ts'
import type { UserId } from '../../registry/organizations.ts'
import { REVOCATIONS_BY_MEMBERS } from '../../registry/revocation-room.ts'
import { asker, refusal, startCore } from '../support/registry-core.ts'

const rule = suite('room for revocations')

/** Eve, a member, with a laptop; Ada owns the organization. */
async function scene() {
  const core = await startCore()
  const ada = await core.signIn('ada')
  const organization = await core.lifecycle.create(ada, { name: 'Acme' })
  const eve = await core.member(organization, 'eve')
  const laptop = asker('laptop')
  await core.enrol(laptop, await core.key(organization, { by: eve }))
  const devices = openDevices(core)
  const rename = (by: UserId, name: string) =>
    refusal(devices.change(organization, laptop.id, { name }, core.as(by)))
  const remove = (by: UserId, device: string) =>
    refusal(devices.remove(organization, device, core.as(by)))
  const revoked = async () => {
    const state = core.hear(organization, await core.issuing.envelopes(organization))
    return currentManifest(state, core.clock.now())?.body.revocations.size
  }
  /** Others' certificates, for an hour. */
  const fillTo = async (count: number) => {
    const notAfter = seconds(core.clock.now() + 3600)
    const many = Array.from({ length: count - ((await revoked()) ?? 0) }, () => ({
      ...{ serial: toHex(randomBytes(SERIAL_BYTES)), notAfter },
    }))
    await core.issuing.change(organization, (change) => change.publishManifest(many))
  }
  return { core, ada, organization, eve, laptop, rename, remove, revoked, fillTo }
}

rule('a member who changes a device on and on is told to stop while half is left', async () => {
  const { core, ada, eve, laptop, rename, remove, revoked, fillTo } = await scene()
  await using _ = core
  await fillTo(REVOCATIONS_BY_MEMBERS - 30)
  const codes: string[] = []
  for (let count = 0; codes.at(-1) !== 'too-many-certificates' && count < 100; count++) {
    codes.push(await rename(eve, `laptop-${count % 2}`))
  }
  assert.is(codes.length, 46, 'each fifteen changes cost fifteen revocations')
  assert.is(await revoked(), REVOCATIONS_BY_MEMBERS)
  assert.is(await remove(eve, laptop.id), 'revocations-full')
  assert.is(await rename(ada, 'desk'), 'none', 'an admin may')
  assert.is(await remove(ada, laptop.id), 'none', 'and put it out')
})

rule(
  'a member goes with their devices only while there is room; an admin puts them out',
  async () => {
    const { core, ada, organization, eve, fillTo } = await scene()
    await using _ = core
    await fillTo(REVOCATIONS_BY_MEMBERS)
    const { members } = core
    assert.is(await refusal(members.remove(organization, eve, eve, 'revoke')), 'revocations-full')
    assert.is(await refusal(members.remove(organization, ada, eve, 'revoke')), 'none')
    await fillTo(REVOCATIONS)
    assert.is(await refusal(core.lifecycle.rename(organization, ada, 'Still')), 'none')
  },
)

rule('of ephemeral devices that are away as many go as there is room for', async () => {
  const { core, organization, eve, fillTo } = await scene()
  await using _ = core
  const key = await core.key(organization, { by: eve, ephemeralAfter: 600 })
  for (const name of ['a', 'b', 'c']) await core.enrol(asker(name), key)
  const names = async () => (await core.devices.list(organization)).map(({ name }) => name)
  await fillTo(REVOCATIONS_BY_MEMBERS - 2)
  core.advance(600)
  await lookForDevices(core, () => [])
  assert.is((await names()).length, 2)
  await lookForDevices(core, () => [])
  const removed = core.logged.filter(({ event }) => event === 'device.ephemeral-removed')
  assert.equal(
    removed.map(({ fields }) => fields['count']),
    [2],
  )
  core.advance(3000)
  await lookForDevices(core, () => [])
  assert.equal(await names(), ['laptop'], 'once others have ended')
})

rule.run()
