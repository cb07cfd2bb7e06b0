// time limit: 240 s
/** What happens beside the deletion of a user, over a real store. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { randomBytes } from '../../crypto/random.ts'
import { seconds } from '../../protocol/time.ts'
import { type ApiTokens, openApiTokens } from '../../registry/api-tokens.ts'
import { type Accounts, createAccounts } from '../../registry/identity/accounts.ts'
import { membershipsOf, users } from '../../registry/organizations.ts'
import { openUserDeletion } from '../../registry/user-deletion.ts'
import { refusal, startCore } from '../support/registry-core.ts'

const rule = suite('deletion of a user, and what happens meanwhile')

const PASSWORD = 'another good password'

/** Bob, who has an account, in an organization of his own and in Ada's. */
async function scene() {
  const core = await startCore()
  const accounts = createAccounts({ ...core, randomBytes })
  const email = (name: string) => `${name}@example.org`
  await accounts.complete((await accounts.firstUserLink()) ?? '', {
    ...{ email: email('ada'), password: PASSWORD },
  })
  await accounts.complete(await accounts.invite(email('bob')), {
    ...{ email: email('bob'), password: PASSWORD },
  })
  const account = (await accounts.verify(email('bob'), PASSWORD)) ?? ''
  const bob = await core.signIn(account, { email: email('bob') })
  const ada = await core.signIn('ada')
  const home = await core.lifecycle.create(ada, { name: 'Acme' })
  await core.member(home, account)
  const tokens = openApiTokens({ ...core, randomBytes })
  /** What happens once he has left all organizations, and between the reads and the writes of the last step. */
  const meanwhile: Record<'afterLeaving' | 'inLastStep', (() => Promise<unknown>)[]> = {
    ...{ afterLeaving: [], inLastStep: [] },
  }
  const page: ApiTokens['page'] = async (...asked) => {
    await meanwhile.afterLeaving.pop()?.()
    return tokens.page(...asked)
  }
  const removeIn: Accounts['removeIn'] = async (...asked) => {
    await meanwhile.inLastStep.pop()?.()
    await accounts.removeIn(...asked)
  }
  const ended: string[] = []
  const deletion = openUserDeletion({
    ...core,
    tokens: { ...tokens, page },
    identity: {
      accounts: { ...accounts, removeIn },
      sessions: { endAll: async (user) => void ended.push(user) },
    },
  })
  const remove = () => deletion.delete('revoke', core.as(bob))
  const left = async () => ({
    organizations: (await membershipsOf(core.database, bob)).length,
    isKnown: (await core.database.get(users, bob)) !== undefined,
    hasAccount: (await accounts.find(account)) !== undefined,
  })
  const logged = () => core.logged.filter(({ event }) => event === 'user.deleted')
  const link = async () => {
    const expiresAt = seconds(core.clock.now() + 3600)
    const made = await core.invitations.create(home, ada, { role: 'member', expiresAt })
    return made.secret ?? ''
  }
  const rejoin = () => core.member(home, account)
  return { core, bob, meanwhile, remove, rejoin, link, left, logged, ended }
}

const NOTHING = { organizations: 0, isKnown: false, hasAccount: false }

rule('takes account and record along in one, says so in the log, and once', async () => {
  const { core, bob, remove, left, logged, ended } = await scene()
  await using _ = core
  await remove()
  assert.equal(await left(), NOTHING)
  assert.equal(
    logged().map(({ fields }) => fields),
    [{ user: bob, organizations: 2 }],
  )
  await remove()
  assert.is(logged().length, 1)
  assert.equal(ended, [bob, bob])
})

rule('who joins meanwhile keeps their account, and may ask again', async () => {
  const { core, meanwhile, rejoin, remove, left, logged } = await scene()
  await using _ = core
  meanwhile.afterLeaving.push(rejoin)
  assert.is(await refusal(remove()), 'user-busy')
  assert.equal(await left(), { organizations: 1, isKnown: true, hasAccount: true })
  assert.is(logged().length, 0)
  await remove()
  assert.equal(await left(), NOTHING)
})

rule('who founds or joins in the very moment keeps their user', async () => {
  const { core, bob, meanwhile, link, remove, left } = await scene()
  await using _ = core
  meanwhile.inLastStep.push(() => core.lifecycle.create(bob, { name: 'Umbrella' }))
  assert.is(await refusal(remove()), 'user-busy')
  assert.equal(await left(), { organizations: 1, isKnown: true, hasAccount: true })
  const secret = await link()
  meanwhile.inLastStep.push(() => core.invitations.acceptLink(bob, secret))
  assert.is(await refusal(remove()), 'user-busy')
  assert.equal(await left(), { organizations: 1, isKnown: true, hasAccount: true })
  await remove()
  assert.equal(await left(), NOTHING)
})

rule('who is gone founds and joins nothing', async () => {
  const { core, bob, link, remove, left } = await scene()
  await using _ = core
  const secret = await link()
  await remove()
  assert.is(await refusal(core.lifecycle.create(bob, { name: 'Umbrella' })), 'signed-out')
  assert.is(await refusal(core.invitations.acceptLink(bob, secret)), 'signed-out')
  assert.equal(await left(), NOTHING)
})

rule.run()
