import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { currentManifest, deviceStanding } from '../../protocol/belief.ts'
import { openEnvelope } from '../../protocol/envelope.ts'
import { ORGANIZATIONS, type SettingsChange } from '../../registry/organization-lifecycle.ts'
import { purgeOrganizations } from '../../registry/organization-purge.ts'
import { membershipsOf, organizationFor } from '../../registry/organizations.ts'
import type { ProblemError } from '../../registry/problem.ts'
import { asker, refusal, startCore } from '../support/registry-core.ts'

const rule = suite('organization life')

async function scene() {
  const core = await startCore()
  const ada = await core.signIn('ada')
  const organization = await core.lifecycle.create(ada, { name: 'Acme' })
  return { core, ada, organization }
}

rule('a user makes several organizations, and owns each', async () => {
  const { core, ada } = await scene()
  await using _ = core
  const umbrella = await core.lifecycle.create(ada, { name: 'Umbrella', ipv4: '10.8.0.0/16' })
  const own = await membershipsOf(core.database, ada)
  assert.equal(
    own.map(({ organization, role }) => [organization.name, role]),
    [
      ['Acme', 'owner'],
      ['ada', 'owner'],
      ['Umbrella', 'owner'],
    ],
  )
  const { ranges } = await core.lifecycle.details(umbrella)
  assert.is(ranges[0], '10.8.0.0/16')
})

rule(
  'refuses a name that is none, one that the user’s other has, a bad range, and too many',
  async () => {
    const { core, ada } = await scene()
    await using _ = core
    const { lifecycle } = core
    for (const name of ['', '   ', 'x'.repeat(65), 'a\nb', 'a\u0000', 'a\u202eb']) {
      const refused = lifecycle.create(ada, { name })
      assert.is(await refusal(refused), 'organization-invalid', JSON.stringify(name))
    }
    const taken = lifecycle.create(ada, { name: ' Acme ' })
    assert.is(await refusal(taken), 'organization-name-taken')
    const range = lifecycle.create(ada, { name: 'x', ipv4: '8.8.8.0/24' })
    assert.is(await refusal(range), 'range-invalid')
    // Names of others' organizations are nobody's business.
    const bob = await core.signIn('bob')
    assert.is(await refusal(lifecycle.create(bob, { name: 'Acme' })), 'none')
    for (let count = 2; count < ORGANIZATIONS; count++) {
      await lifecycle.create(ada, { name: `number ${count}` })
    }
    const one = lifecycle.create(ada, { name: 'one more' })
    assert.is(await refusal(one), 'too-many-organizations')
  },
)

rule('of those made at once no more than allowed come to be', async () => {
  const { core, ada } = await scene()
  await using _ = core
  for (let count = 2; count < ORGANIZATIONS - 2; count++) {
    await core.lifecycle.create(ada, { name: `number ${count}` })
  }
  const names = ['a', 'b', 'c', 'd', 'e']
  const codes = names.map((name) => refusal(core.lifecycle.create(ada, { name })))
  const refused = (await Promise.all(codes)).filter((code) => code !== 'none')
  assert.equal(refused, Array(3).fill('too-many-organizations'))
  assert.is((await membershipsOf(core.database, ada)).length, ORGANIZATIONS)
})

rule('an owner renames it, and its devices hear the name', async () => {
  const { core, ada, organization } = await scene()
  await using _ = core
  const bob = await core.member(organization, 'bob', 'admin')
  const denied = core.lifecycle.rename(organization, bob, 'Bobs')
  assert.is(await refusal(denied), 'role-needed')
  await core.lifecycle.rename(organization, ada, 'Acme & Co')
  assert.is((await organizationFor(core.database, ada, organization)).name, 'Acme & Co')
  const state = core.hear(organization, await core.issuing.envelopes(organization))
  assert.is(currentManifest(state, core.clock.now())?.body.name, 'Acme & Co')
})

rule('settings are changed one by one, within bounds, by owners', async () => {
  const { core, ada, organization } = await scene()
  await using _ = core
  const change = (settings: SettingsChange) =>
    core.lifecycle.changeSettings(organization, ada, settings)
  await change({ approvalRequired: true })
  await change({ membershipLifetime: 3600 })
  assert.equal(await change({ reauthenticateAfter: 86_400 }), {
    approvalRequired: true,
    membershipLifetime: 3600,
    reauthenticateAfter: 86_400,
  })
  assert.equal(await change({ membershipLifetime: null }), {
    approvalRequired: true,
    reauthenticateAfter: 86_400,
  })
  const beyond: SettingsChange[] = [
    { membershipLifetime: 599 },
    { membershipLifetime: 7 * 86_400 + 1 },
    { reauthenticateAfter: 3599 },
    { reauthenticateAfter: 365 * 86_400 + 1 },
  ]
  for (const settings of beyond) assert.is(await refusal(change(settings)), 'settings-invalid')
  const eve = await core.member(organization, 'eve', 'admin')
  const denied = core.lifecycle.changeSettings(organization, eve, { approvalRequired: false })
  assert.is(await refusal(denied), 'role-needed')
})

rule('certificates last as long as the organization says', async () => {
  const { core, ada, organization } = await scene()
  await using _ = core
  await core.lifecycle.changeSettings(organization, ada, { membershipLifetime: 7200 })
  const { envelopes } = await core.enrol(asker('laptop'), await core.key(organization))
  const last = openEnvelope(envelopes.at(-1) ?? new Uint8Array())
  if (last.kind !== 'membership-certificate') throw new Error(last.kind)
  assert.is(last.body.notAfter - last.body.notBefore, 7200)
})

rule(
  'a device’s owner must sign in again after the interval; one let in by a key need not',
  async () => {
    const { core, ada, organization } = await scene()
    await using _ = core
    await core.lifecycle.changeSettings(organization, ada, { reauthenticateAfter: 30 * 86_400 })
    const [laptop, server] = [asker('laptop'), asker('server')]
    await core.letIn(organization, laptop, ada)
    await core.enrol(server, await core.key(organization))
    core.advance(30 * 86_400 - 1)
    await core.renew(laptop, organization)
    core.advance(1)
    await core.renew(server, organization)
    const refused = await core.renew(laptop, organization).catch((error: unknown) => error)
    assert.is((refused as ProblemError).code, 'sign-in-needed')
    assert.match(
      (refused as ProblemError).message,
      'ada@example.org must sign in again at https://registry.example: the organization asks that of the owners of its devices every 30 days',
    )
    await core.signIn('ada')
    await core.renew(laptop, organization)
  },
)

rule('is deleted while it has devices only by force, which revokes them', async () => {
  const { core, ada, organization } = await scene()
  await using _ = core
  const bob = await core.member(organization, 'bob', 'admin')
  const laptop = asker('laptop')
  const key = await core.key(organization, { lasts: 86_400 })
  await core.enrol(laptop, key)
  const known = core.hear(organization, await core.issuing.envelopes(organization))
  const { lifecycle } = core
  assert.is(await refusal(lifecycle.delete(organization, bob, true)), 'role-needed')
  assert.is(await refusal(lifecycle.delete(organization, ada, false)), 'organization-not-empty')
  await lifecycle.delete(organization, ada, true)
  const after = core.hear(organization, await core.issuing.envelopes(organization), known)
  assert.is(deviceStanding(after, laptop.id, core.clock.now()), 'revoked')
  assert.is(await refusal(core.renew(laptop, organization)), 'organization-unknown')
  assert.is(await refusal(core.enrol(asker('x'), key)), 'registration-key-refused')
  for (const user of [ada, bob]) {
    const gone = organizationFor(core.database, user, organization)
    assert.is(await refusal(gone), 'organization-not-found')
  }
  assert.is(await refusal(lifecycle.rename(organization, ada, 'x')), 'organization-unknown')
})

rule(
  'nothing is left of it once its last certificate has ended, neither record nor key, but the audit log',
  async () => {
    const { core, ada, organization } = await scene()
    await using _ = core
    await core.enrol(asker('laptop'), await core.key(organization))
    await core.invitations.create(organization, ada, {
      role: 'member',
      expiresAt: core.clock.now(),
    })
    await core.lifecycle.delete(organization, ada, true)
    await purgeOrganizations(core)
    assert.ok(await core.issuing.keys.root(organization), 'its devices have still to hear of it')
    core.advance(86_400)
    await purgeOrganizations(core)
    assert.is(await core.issuing.keys.root(organization), undefined)
    const left: string[] = []
    for await (const { key, value } of core.store.list({ gte: '!', lt: '\u007f' })) {
      // The audit log is for ever.
      if (key.startsWith('audit')) continue
      if (`${key} ${Buffer.from(value)}`.includes(organization)) left.push(key)
    }
    assert.equal(left, [])
  },
)

rule.run()
