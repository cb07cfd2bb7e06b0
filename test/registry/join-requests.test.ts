import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { decideJoin } from '../../registry/approval.ts'
import { joinRequestsIn } from '../../registry/join-requests.ts'
import { asker, refusal, startCore } from '../support/registry-core.ts'

const rule = suite('join requests')

async function withApproval() {
  const core = await startCore()
  const ada = await core.signIn('ada')
  const organization = await core.lifecycle.create(ada, { name: 'Acme' })
  const laptop = asker('laptop')
  await core.lifecycle.changeSettings(organization, ada, { approvalRequired: true })
  const eve = await core.member(organization, 'eve')
  const decide = (id: string, by: typeof ada, approved: boolean) =>
    decideJoin(core, organization, { id, by: core.as(by), approved })
  const waiting = () => joinRequestsIn(core.database, organization, core.clock.now())
  return { core, ada, organization, laptop, eve, decide, waiting }
}

rule(
  'where an admin has to agree, what a member lets in waits, and the device hears so',
  async () => {
    const { core, organization, ada, eve, laptop, decide, waiting } = await withApproval()
    await using _ = core
    const { approval, first, poll } = await core.letIn(organization, laptop, eve)
    assert.is(approval, 'requested')
    assert.is(first.kind, 'requested')
    assert.ok(first.kind === 'requested' && first.expiresIn > 6 * 86_400)
    assert.equal(await core.devices.list(organization), [])
    const [request] = await waiting()
    assert.equal([request?.name, request?.owner], ['laptop', 'eve@example.org'])
    assert.is(await refusal(decide(request?.id ?? '', eve, true)), 'role-needed')
    core.advance(3 * 86_400)
    assert.is(await decide(request?.id ?? '', ada, true), true)
    assert.is(await decide(request?.id ?? '', ada, true), false)
    assert.is((await poll()).kind, 'token')
    const [device] = await core.devices.list(organization)
    assert.equal([device?.name, device?.ownerId], ['laptop', eve])
    assert.equal(await waiting(), [])
  },
)

rule('a device that an admin denies, or nobody decides on, does not come in', async () => {
  const { core, organization, ada, eve, laptop, decide, waiting } = await withApproval()
  await using _ = core
  const denied = await core.letIn(organization, laptop, eve)
  const [request] = await waiting()
  assert.is(await decide(request?.id ?? '', ada, false), true)
  assert.is((await denied.poll()).kind, 'denied')
  const late = await core.letIn(organization, asker('late'), eve)
  core.advance(7 * 86_400)
  const [none] = await waiting()
  assert.is(none, undefined)
  assert.is((await late.poll()).kind, 'expired')
  await core.authorizations.forgetExpired()
  assert.equal(await core.devices.list(organization), [])
  for (const id of ['x', 'f'.repeat(64), '../x']) assert.is(await decide(id, ada, true), false)
})

rule('an admin’s own device, and one that was agreed to before, need no word', async () => {
  const { core, organization, ada, eve, laptop, decide, waiting } = await withApproval()
  await using _ = core
  const own = await core.letIn(organization, asker('desktop'), ada)
  assert.is(own.approval, 'approved')
  const first = await core.letIn(organization, laptop, eve)
  const [request] = await waiting()
  await decide(request?.id ?? '', ada, true)
  await first.poll()
  assert.is((await core.letIn(organization, laptop, eve)).approval, 'approved')
  const bob = await core.member(organization, 'bob')
  assert.is((await core.letIn(organization, laptop, bob)).approval, 'requested')
})

rule('a device that waits does not come in once who let it in is no member', async () => {
  const { core, organization, ada, eve, laptop, decide, waiting } = await withApproval()
  await using _ = core
  await core.letIn(organization, laptop, eve)
  const [request] = await waiting()
  await core.members.remove(organization, ada, eve, 'revoke')
  assert.is(await refusal(decide(request?.id ?? '', ada, true)), 'member-unknown')
  assert.is(await decide(request?.id ?? '', ada, false), true)
})

rule('a device that was removed once it was let in needs a person’s word anew', async () => {
  const { core, organization, ada, eve, laptop, decide, waiting } = await withApproval()
  await using _ = core
  const { poll } = await core.letIn(organization, laptop, eve)
  const [request] = await waiting()
  await decide(request?.id ?? '', ada, true)
  await core.devices.remove(organization, laptop.id)
  assert.is(await refusal(poll()), 'token-refused')
  assert.equal(await core.devices.list(organization), [])
  const key = await core.key(organization)
  assert.is(await refusal(core.enrol(laptop, key)), 'device-removed', 'and is not forgotten')
})

rule('a device does not come in once its owner is no member, but that of the next', async () => {
  for (const devices of ['keep', 'revoke', 'transfer'] as const) {
    const { core, organization, ada, eve, laptop, decide, waiting } = await withApproval()
    await using _ = core
    const { poll } = await core.letIn(organization, laptop, eve)
    const [request] = await waiting()
    await decide(request?.id ?? '', ada, true)
    const become = devices === 'transfer' ? { transferTo: ada } : devices
    await core.members.remove(organization, ada, eve, become)
    assert.is(await refusal(poll()), devices === 'transfer' ? 'none' : 'token-refused', devices)
    const owners = (await core.devices.list(organization)).map(({ ownerId }) => ownerId)
    assert.equal(owners, { keep: [eve], revoke: [], transfer: [ada] }[devices])
  }
})

rule.run()
