import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { membershipIn } from '../../registry/organizations.ts'
import type { ProblemError } from '../../registry/problem.ts'
import { type MemberRole, mayGive } from '../../registry/roles.ts'
import { asker, refusal, startCore } from '../support/registry-core.ts'

const rule = suite('members')

async function scene() {
  const core = await startCore()
  const ada = await core.signIn('ada')
  const organization = await core.lifecycle.create(ada, { name: 'Acme' })
  const bob = await core.member(organization, 'bob', 'admin')
  const eve = await core.member(organization, 'eve')
  return { core, organization, ada, bob, eve }
}

rule('owners give every role, admins those below their own, members none', () => {
  const table: [MemberRole, MemberRole, boolean][] = [
    ['owner', 'owner', true],
    ['owner', 'admin', true],
    ['owner', 'member', true],
    ['admin', 'owner', false],
    ['admin', 'admin', false],
    ['admin', 'member', true],
    ['member', 'member', false],
    ['member', 'owner', false],
  ]
  for (const [by, role, may] of table) assert.is(mayGive(by, role), may, `${by} gives ${role}`)
})

rule('lists who belongs, by name, with role and last sign-in', async () => {
  const { core, organization } = await scene()
  await using _ = core
  const listed = await core.members.list(organization)
  assert.equal(
    listed.map(({ name, role }) => [name, role]),
    [
      ['ada@example.org', 'owner'],
      ['bob@example.org', 'admin'],
      ['eve@example.org', 'member'],
    ],
  )
  assert.is(listed[0]?.signedInAt, core.clock.now())
})

rule('a role is changed by who may give both the old one and the new one', async () => {
  const { core, organization, ada, bob, eve } = await scene()
  await using _ = core
  const set = (by: typeof ada, user: string, role: MemberRole) =>
    refusal(core.members.setRole(organization, by, user, role))
  assert.is(await set(bob, eve, 'admin'), 'role-needed')
  assert.is(await set(bob, ada, 'member'), 'role-needed')
  assert.is(await set(bob, bob, 'owner'), 'role-needed')
  assert.is(await set(eve, eve, 'owner'), 'role-needed')
  assert.is(await set(ada, eve, 'admin'), 'none')
  assert.is((await membershipIn(core.database, eve, organization)).role, 'admin')
})

rule('an organization keeps an owner, also when two go at once', async () => {
  const { core, organization, ada, bob } = await scene()
  await using _ = core
  const { members } = core
  assert.is(await refusal(members.remove(organization, ada, ada, 'keep')), 'last-owner')
  assert.is(await refusal(members.setRole(organization, ada, ada, 'admin')), 'last-owner')
  await members.setRole(organization, ada, bob, 'owner')
  const outcomes = await Promise.all([
    refusal(members.remove(organization, ada, ada, 'keep')),
    refusal(members.remove(organization, bob, bob, 'keep')),
  ])
  assert.equal(outcomes.toSorted(), ['last-owner', 'none'])
})

rule('a stranger and a removed member are told that there is no such organization', async () => {
  const { core, organization, ada, eve } = await scene()
  await using _ = core
  const mallory = await core.member(await core.issuing.found('Umbrella'), 'mallory', 'owner')
  const { members } = core
  const asStranger = members.remove(organization, mallory, eve, 'keep')
  assert.is(await refusal(asStranger), 'organization-not-found')
  await members.remove(organization, ada, eve, 'keep')
  assert.is(await refusal(members.remove(organization, eve, ada, 'keep')), 'organization-not-found')
  assert.is(await refusal(membershipIn(core.database, eve, organization)), 'organization-not-found')
  for (const unknown of [mallory, eve, 'nobody', 'a b', '../x']) {
    assert.is(await refusal(members.remove(organization, ada, unknown, 'keep')), 'member-unknown')
  }
})

rule('a member cannot remove others, an admin no owner and no other admin', async () => {
  const { core, organization, ada, bob, eve } = await scene()
  await using _ = core
  const dan = await core.member(organization, 'dan', 'admin')
  for (const [by, user] of [
    [eve, bob],
    [eve, ada],
    [bob, ada],
    [bob, dan],
  ] as const) {
    assert.is(await refusal(core.members.remove(organization, by, user, 'keep')), 'role-needed')
  }
  await core.members.remove(organization, eve, eve, 'keep')
  assert.is((await core.members.list(organization)).length, 3)
})

async function withLaptopOfEve() {
  const found = await scene()
  const { core, organization, eve } = found
  const laptop = asker('laptop')
  const secret = await core.key(organization, { by: eve, description: 'of eve' })
  await core.enrol(laptop, secret)
  return { ...found, laptop, secret }
}

rule('devices of a removed member are revoked where the remover says so', async () => {
  const { core, organization, ada, eve, laptop, secret } = await withLaptopOfEve()
  await using _ = core
  await core.members.remove(organization, ada, eve, 'revoke')
  assert.equal(await core.devices.list(organization), [])
  assert.is(await refusal(core.renew(laptop, organization)), 'device-removed')
  assert.is(await refusal(core.enrol(asker('x'), secret)), 'registration-key-refused')
})

rule('or go to a named member, with the registration keys, and renew on', async () => {
  const { core, organization, ada, bob, eve, laptop, secret } = await withLaptopOfEve()
  await using _ = core
  const { members } = core
  for (const to of [eve, 'nobody']) {
    const refused = members.remove(organization, ada, eve, { transferTo: to })
    assert.is(await refusal(refused), 'member-unknown', to)
  }
  await core.signIn('eve', { groups: ['interns'] })
  await core.renew(laptop, organization)
  await core.signIn('bob', { groups: ['operators'] })
  await members.remove(organization, ada, eve, { transferTo: bob })
  const [device] = await core.devices.list(organization)
  assert.equal(device?.claimedGroups, ['operators'])
  assert.equal([device?.owner, device?.ownerId], ['bob@example.org', bob])
  await core.renew(laptop, organization)
  await core.enrol(asker('phone'), secret)
})

rule(
  'or stay until their certificates end: they renew no more until they are given away',
  async () => {
    const { core, organization, ada, eve, laptop, secret } = await withLaptopOfEve()
    await using _ = core
    await core.members.remove(organization, ada, eve, 'keep')
    assert.is((await core.devices.list(organization)).length, 1)
    const refused = await core.renew(laptop, organization).catch((error: unknown) => error)
    assert.is((refused as ProblemError).code, 'owner-removed')
    assert.match((refused as ProblemError).message, 'an admin can give it to another member')
    assert.is(await refusal(core.enrol(asker('x'), secret)), 'registration-key-refused')
    const owner = { owner: 'ada@example.org', ownerId: ada }
    await core.devices.change(organization, laptop.id, { owner })
    await core.renew(laptop, organization)
  },
)

rule.run()
