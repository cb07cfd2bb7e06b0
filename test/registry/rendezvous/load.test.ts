/** What a registry has in its store when it starts: nothing of one organization may keep it from serving others. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { toBase64 } from '../../../crypto/bytes.ts'
import { membersOf } from '../../../protocol/belief.ts'
import { DEVICE, deviceRecordId } from '../../../registry/device-record.ts'
import { HEAD, MANIFEST, manifestIdOf } from '../../../registry/head.ts'
import { asker, type RegistryCore } from '../../support/registry-core.ts'
import { startRendezvousScene } from '../../support/rendezvous-scene.ts'

const rule = suite('rendezvous, started with an organization that cannot be read')

/** What errors tell: the event, and of which organization. */
const errors = ({ logged }: RegistryCore) =>
  logged
    .filter(({ level }) => level === 'error')
    .map(({ event, fields }) => [event, fields['organization']])

rule('serves all members but the one whose certificate nobody can open', async () => {
  await using here = await startRendezvousScene()
  const { core, organization } = here
  const [laptop, phone] = [asker('laptop'), asker('phone')]
  for (const device of [laptop, phone]) await core.enrol(device, await core.key(organization))
  const id = deviceRecordId(organization, laptop.id)
  await core.database.transact('test', async (transaction) => {
    const record = await transaction.get(DEVICE, id)
    if (record === undefined) throw new Error('no record')
    const certificate = toBase64(new Uint8Array(3000))
    transaction.put(DEVICE, id, { ...record, certificate })
  })
  await here.restart()
  const state = here.rendezvous.belief(organization)
  assert.equal(state && [...membersOf(state, core.clock.now()).keys()], [phone.id])
  assert.equal(errors(core), [['rendezvous.envelope-unreadable', organization]])
})

rule('serves all organizations but the one that it cannot load, and names it', async () => {
  await using here = await startRendezvousScene()
  const { core, organization: broken } = here
  const sound = await core.issuing.found('Umbrella')
  await core.database.transact('test', async (transaction) => {
    const { manifestSequence = 0 } = (await transaction.get(HEAD, broken)) ?? {}
    transaction.delete(MANIFEST, manifestIdOf(broken, manifestSequence))
  })
  await here.restart()
  assert.is(here.rendezvous.belief(broken), undefined)
  assert.ok(here.rendezvous.belief(sound))
  assert.equal(errors(core), [['organization.task-failed', broken]])
})

rule.run()
