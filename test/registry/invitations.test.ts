// time limit: 240 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { seconds } from '../../protocol/time.ts'
import { INVITATIONS } from '../../registry/invitations.ts'
import { membershipIn } from '../../registry/organizations.ts'
import type { MemberRole } from '../../registry/roles.ts'
import { refusal, startCore } from '../support/registry-core.ts'

const rule = suite('invitations')

async function scene() {
  const core = await startCore()
  const ada = await core.signIn('ada')
  const organization = await core.lifecycle.create(ada, { name: 'Acme' })
  const bob = await core.signIn('bob')
  const { invitations } = core
  const invite = (wanted: { email?: string; role?: MemberRole; lasts?: number; by?: typeof ada }) =>
    invitations.create(organization, wanted.by ?? ada, {
      role: wanted.role ?? 'member',
      email: wanted.email,
      expiresAt: seconds(core.clock.now() + (wanted.lasts ?? 3600)),
    })
  const roleOf = async (user: typeof ada) =>
    (await membershipIn(core.database, user, organization)).role
  return { core, organization, ada, bob, invitations, invite, roleOf }
}

rule('who proves the e-mail address accepts, whatever its case, once or twice', async () => {
  const { core, invitations, invite, bob, organization, roleOf } = await scene()
  await using _ = core
  const { id, secret } = await invite({ email: ' Bob@Example.ORG ', role: 'admin' })
  assert.is(secret, undefined)
  const [waiting] = await invitations.listFor(bob)
  assert.equal(
    [waiting?.id, waiting?.organizationName, waiting?.role, waiting?.invitedBy],
    [id, 'Acme', 'admin', 'ada@example.org'],
  )
  assert.is(await invitations.accept(bob, id), organization)
  assert.is(await roleOf(bob), 'admin')
  assert.is(await invitations.accept(bob, id), organization)
  assert.equal(await invitations.listFor(bob), [])
})

rule('nobody else sees, accepts or declines it', async () => {
  const { core, invitations, invite, organization } = await scene()
  await using _ = core
  const { id } = await invite({ email: 'bob@example.org' })
  const strangers = [
    await core.signIn('mallory'),
    await core.signIn('unverified', { email: 'bob@example.org', emailVerified: false }),
    await core.signIn('nameless', { email: '', emailVerified: true }),
  ]
  for (const stranger of strangers) {
    assert.equal(await invitations.listFor(stranger), [])
    assert.is(await refusal(invitations.accept(stranger, id)), 'invitation-unknown')
    assert.is(await refusal(invitations.decline(stranger, id)), 'invitation-unknown')
    assert.is(
      await refusal(invitations.revoke(organization, stranger, id)),
      'organization-not-found',
    )
  }
  assert.is((await invitations.listOf(organization)).length, 1)
})

rule('expiry is enforced at acceptance', async () => {
  const { core, invitations, invite, bob } = await scene()
  await using _ = core
  const { id } = await invite({ email: 'bob@example.org', lasts: 300 })
  const { secret = '' } = await invite({ lasts: 300 })
  core.advance(300)
  assert.is(await refusal(invitations.accept(bob, id)), 'invitation-over')
  const late = await invitations.acceptLink(bob, secret).catch((error: unknown) => error)
  assert.match((late as Error).message, /^the invitation expired on 2\d{3}-.*ask for a new one/)
  assert.equal(await invitations.listFor(bob), [])
})

rule('a link lets one user in, and that one again', async () => {
  const { core, invitations, invite, bob, organization, roleOf } = await scene()
  await using _ = core
  const { id, secret = '' } = await invite({})
  assert.is((await invitations.ofLink(secret)).organizationName, 'Acme')
  assert.is(await refusal(invitations.accept(bob, id)), 'invitation-unknown', 'the id is no link')
  await invitations.acceptLink(bob, secret)
  assert.is(await roleOf(bob), 'member')
  assert.is(await invitations.acceptLink(bob, secret), organization)
  const eve = await core.signIn('eve')
  assert.is(await refusal(invitations.acceptLink(eve, secret)), 'invitation-over')
  assert.is(await refusal(invitations.acceptLink(eve, `${secret}x`)), 'invitation-unknown')
})

rule('of two who use a link at once one comes in', async () => {
  const { core, invitations, invite, bob } = await scene()
  await using _ = core
  const eve = await core.signIn('eve')
  const { secret = '' } = await invite({})
  const outcomes = await Promise.all(
    [bob, eve].map((user) => refusal(invitations.acceptLink(user, secret))),
  )
  assert.equal(outcomes.toSorted(), ['invitation-over', 'none'])
})

rule('a removed member does not come back by the link that was used', async () => {
  const { core, invitations, invite, ada, bob, organization } = await scene()
  await using _ = core
  const { secret = '' } = await invite({})
  await invitations.acceptLink(bob, secret)
  await core.members.remove(organization, ada, bob, 'revoke')
  assert.is(await refusal(invitations.acceptLink(bob, secret)), 'invitation-over')
})

rule(
  'nobody invites to a role that they may not give, nor once they may not any more',
  async () => {
    const { core, invitations, invite, ada, bob, organization } = await scene()
    await using _ = core
    const admin = await core.member(organization, 'dan', 'admin')
    const member = await core.member(organization, 'eve')
    assert.is(await refusal(invite({ by: admin, role: 'owner' })), 'role-needed')
    assert.is(await refusal(invite({ by: admin, role: 'admin' })), 'role-needed')
    assert.is(await refusal(invite({ by: member })), 'role-needed')
    assert.is(await refusal(invite({ by: bob })), 'organization-not-found')
    const { secret = '' } = await invite({ by: admin })
    await core.members.setRole(organization, ada, admin, 'member')
    assert.is(await refusal(invitations.acceptLink(bob, secret)), 'invitation-over')
  },
)

rule('a member who accepts becomes more, never less', async () => {
  const { core, invitations, invite, ada, organization, roleOf } = await scene()
  await using _ = core
  const eve = await core.member(organization, 'eve')
  await invitations.acceptLink(eve, (await invite({ role: 'admin' })).secret ?? '')
  assert.is(await roleOf(eve), 'admin')
  await invitations.acceptLink(ada, (await invite({ role: 'member' })).secret ?? '')
  assert.is(await roleOf(ada), 'owner')
})

rule('is taken back by an admin, or declined by the invited', async () => {
  const { core, invitations, invite, ada, bob, organization } = await scene()
  await using _ = core
  const first = await invite({ email: 'bob@example.org' })
  assert.is(await invitations.revoke(organization, ada, first.id), true)
  assert.is(await invitations.revoke(organization, ada, first.id), false)
  assert.is(await invitations.revoke(organization, ada, 'a b'), false)
  assert.is(await refusal(invitations.accept(bob, first.id)), 'invitation-unknown')
  const second = await invite({ email: 'bob@example.org' })
  await invitations.decline(bob, second.id)
  assert.equal(await invitations.listOf(organization), [])
  const third = await invite({})
  await invitations.revoke(organization, ada, third.id)
  const gone = invitations.acceptLink(bob, third.secret ?? '')
  assert.is(await refusal(gone), 'invitation-unknown')
})

rule('there is a most of them, and those that are over are forgotten after a week', async () => {
  const { core, invitations, invite, organization } = await scene()
  await using _ = core
  for (let count = 0; count < INVITATIONS; count++) await invite({ lasts: 300 })
  assert.is(await refusal(invite({})), 'too-many-invitations')
  core.advance(300 + 7 * 86_400 - 1)
  await invitations.forgetExpired()
  assert.is((await invitations.listOf(organization)).length, INVITATIONS)
  core.advance(1)
  await invitations.forgetExpired()
  assert.is((await invitations.listOf(organization)).length, 0)
})

rule.run()
