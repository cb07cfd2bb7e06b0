/** What is wrong with one organization stops what the registry does by itself for that one alone. */
import { rm } from 'node:fs/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { randomBytes } from '../../crypto/random.ts'
import { currentManifest } from '../../protocol/belief.ts'
import type { OrganizationId } from '../../protocol/keys.ts'
import { lookForDevices } from '../../registry/device-presence.ts'
import { DEVICE, deviceRecordId } from '../../registry/device-record.ts'
import { eachOrganization } from '../../registry/each-organization.ts'
import { HEAD } from '../../registry/head.ts'
import { certifyConnected, renewIssuers, rotateIssuer } from '../../registry/issuer-renewal.ts'
import { openIssuing } from '../../registry/issuing.ts'
import { StoreError } from '../../registry/store/store.ts'
import { asker, type RegistryCore, startCore } from '../support/registry-core.ts'

const rule = suite('each organization')
const DAY = 86_400

/** A registry whose first organization, in the order of all, has lost its issuer key; and another, in which a device
 *  may be away for ten minutes. */
async function scene() {
  const core = await startCore()
  await Promise.all(['Acme', 'Umbrella'].map((name) => core.issuing.found(name)))
  const [broken, sound] = (await core.issuing.organizations()) as [OrganizationId, OrganizationId]
  const laptop = asker('laptop')
  for (const organization of [broken, sound]) {
    await core.enrol(laptop, await core.key(organization, { ephemeralAfter: 600 }))
  }
  // As after a restart: no key is known yet.
  const lose = async () => {
    await rm(core.issuing.keys.issuerPath(broken))
    return { ...core, issuing: await openIssuing({ ...core, randomBytes }) }
  }
  return { core, broken, sound, laptop, lose }
}

const failed = ({ logged }: RegistryCore) =>
  logged
    .filter(({ level }) => level === 'error')
    .map(({ event, fields }) => [event, fields['task'], fields['organization']])

rule('devices that are away are removed from the others', async () => {
  const { core, broken, sound, laptop, lose } = await scene()
  await using _ = core
  core.advance(601)
  await lookForDevices(await lose(), () => [])
  assert.is(await core.database.get(DEVICE, deviceRecordId(sound, laptop.id)), undefined)
  assert.equal(failed(core), [['organization.task-failed', 'devices', broken]])
})

rule('issuer certificates of the others are renewed', async () => {
  const { core, broken, sound, lose } = await scene()
  await using _ = core
  const before = (await core.database.get(HEAD, sound))?.issuer.notAfter ?? 0
  core.advance(60 * DAY)
  await renewIssuers(await lose())
  assert.ok(((await core.database.get(HEAD, sound))?.issuer.notAfter ?? 0) > before)
  assert.equal(failed(core), [['organization.task-failed', 'issuers', broken]])
})

rule('connected devices of the others are certified by the next issuer', async () => {
  const { core, broken, sound, laptop, lose } = await scene()
  await using _ = core
  for (const each of [broken, sound]) await rotateIssuer(core, each, 'overlap', core.ada())
  const id = deviceRecordId(sound, laptop.id)
  const before = (await core.database.get(DEVICE, id))?.certificate
  await certifyConnected(await lose(), () => [{ device: laptop.id }])
  assert.is.not((await core.database.get(DEVICE, id))?.certificate, before)
  assert.equal(failed(core), [['organization.task-failed', 'overlaps', broken]])
})

rule('manifests of the others say where devices meet, and it is tried again', async () => {
  const { core, broken, sound, lose } = await scene()
  await using _ = core
  const { issuing } = await lose()
  const rendezvous = [{ multiaddrs: ['/ip4/192.0.2.1/tcp/4001'], stun: [] }]
  assert.is(await issuing.setRendezvous(rendezvous), false)
  const state = core.hear(sound, await core.issuing.foundation(sound))
  assert.equal(currentManifest(state, core.clock.now())?.body.rendezvous, rendezvous)
  assert.equal(failed(core), [['organization.task-failed', 'rendezvous', broken]])
})

rule('a store that fails, fails for all', async () => {
  const { core, broken } = await scene()
  await using _ = core
  const seen: string[] = []
  const task = eachOrganization(core, 'test', async (organization) => {
    seen.push(organization)
    throw new StoreError('the disk is full')
  })
  assert.instance(await task.catch((error) => error), StoreError)
  assert.equal(seen, [broken])
})

rule.run()
