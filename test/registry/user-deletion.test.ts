// time limit: 300 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { completeSetup, inviteUser, loginByHttp, openBrowser } from '../../simulations/lab/login.ts'
import { withToken } from '../support/api.ts'
import { ask, enrolled, scene } from '../support/people-scene.ts'
import { ADA, BOB, startTestRegistry } from '../support/registry.ts'

const rule = suite('deleting one’s own user')

const path = (name: string, devices?: string): string =>
  `user?${new URLSearchParams({ confirm: name, ...(devices !== undefined && { devices }) })}`

/** Bob's device in Ada's Acme. */
async function withDevice(registry: Awaited<ReturnType<typeof startTestRegistry>>) {
  const people = await scene(registry)
  const { id } = await enrolled(registry, people.bob, people.home, 'bobs-laptop')
  const names = async () =>
    ((await ask(people.ada, 'GET', `${people.home}/devices`)).json['devices'] as object[]).map(
      (each) => ('name' in each && 'owner' in each ? `${each.name} of ${each.owner}` : ''),
    )
  return { ...people, id, names }
}

rule('takes the user out of all: devices, membership, sessions, tokens, account', async () => {
  await using registry = await startTestRegistry()
  const { ada, bob, home, names } = await withDevice(registry)
  const made = await ask(bob, 'POST', 'user/tokens', { description: 'ci', scopes: ['read'] })
  const token = String(made.json['token'])
  assert.match((await names()).join(), /^bobs-laptop of bob \([a-z2-7]{26}\)$/)
  const { status, json } = await ask(bob, 'DELETE', path(BOB.email))
  assert.is(status, 204, JSON.stringify(json))
  assert.is((await ask(bob, 'GET', 'user')).status, 401)
  assert.is((await withToken(registry.url, token)('GET', '/user')).status, 401)
  assert.equal(await names(), [])
  const members = (await ask(ada, 'GET', `${home}/members`)).json['members'] as unknown[]
  assert.is(members.length, 1)
  const entries = (await ask(ada, 'GET', `${home}/audit`)).json['entries'] as { action: string }[]
  const said = entries.map(({ action }) => action)
  for (const action of ['member.removed', 'device.removed'])
    assert.ok(said.includes(action), action)
  // Who had an account of the registry's own has none any more, and may be invited again.
  assert.ok((await bob.open('/login')).status < 500)
  const words = await loginByHttp(registry.url, BOB).then(
    () => 'signed in',
    (error: Error) => error.message,
  )
  assert.match(words, 'sign-in failed')
  const [link] =
    /http\S+\/setup\/[\w-]+/.exec(
      (await ada.submit('/users/invitations', { email: BOB.email })).text,
    ) ?? []
  assert.ok(link)
})

rule('gives the devices to an owner of the organization where that is asked', async () => {
  await using registry = await startTestRegistry()
  const { bob, names } = await withDevice(registry)
  assert.is((await ask(bob, 'DELETE', path(BOB.email, 'transfer'))).status, 204)
  assert.equal(await names(), [`bobs-laptop of ${ADA.email}`])
})

rule('is refused without one’s name, and changes nothing then', async () => {
  await using registry = await startTestRegistry()
  const { bob, names } = await withDevice(registry)
  for (const [wrong, code] of [
    ['user', 'invalid-input'],
    [path(ADA.email), 'confirmation-wrong'],
    [path(''), 'confirmation-wrong'],
    [path(BOB.email, 'keep'), 'invalid-input'],
    [`${path(BOB.email)}&force=true`, 'invalid-input'],
  ] as const) {
    const { status, json } = await ask(bob, 'DELETE', wrong)
    assert.equal([status, json['code']], [400, code], wrong)
  }
  assert.is((await names()).length, 1)
})

rule(
  'is refused to the last owner of an organization with others or devices, all are named',
  async () => {
    await using registry = await startTestRegistry()
    const { ada, bob, home, ids, names } = await withDevice(registry)
    // Bob's own organization, with a device in it.
    const all = (await ask(bob, 'GET', 'organizations')).json['organizations'] as {
      readonly id: string
      readonly name: string
    }[]
    const bobs = `organizations/${all.find((each) => each.name === 'bob')?.id}`
    await enrolled(registry, bob, bobs, 'rack')
    const refused = await ask(bob, 'DELETE', path(BOB.email))
    assert.equal([refused.status, refused.json['code']], [409, 'last-owner'])
    assert.match(String(refused.json['detail']), /last owner of bob \(1 device\): make another/)
    assert.is(
      (await ask(ada, 'PATCH', `${home}/members/${ids.bob}`, { role: 'owner' })).status,
      204,
    )
    assert.is((await ask(bob, 'DELETE', path(BOB.email))).status, 409)
    // Nothing has changed, though he might have left Acme.
    assert.is((await names()).length, 1)
    assert.is((await ask(bob, 'GET', home)).status, 200)
    const page = (await bob.open('/account')).text
    assert.match(page, 'You are the last owner of bob (1 device)')
    assert.is(page.includes('/account/delete'), false)
    assert.is((await ask(bob, 'DELETE', `${bobs}?force=true`)).status, 204)
    assert.is((await ask(bob, 'DELETE', path(BOB.email))).status, 204)
  },
)

rule('is refused to who alone may invite users, until they are the only one', async () => {
  await using registry = await startTestRegistry()
  const { ada, bob, carol, home, ids } = await scene(registry)
  await ask(ada, 'PATCH', `${home}/members/${ids.bob}`, { role: 'owner' })
  const refused = await ask(ada, 'DELETE', path(ADA.email))
  assert.equal([refused.status, refused.json['code']], [409, 'last-admin'])
  assert.is((await ask(carol, 'DELETE', path('carol@example.org'))).status, 204)
  const { status } = await ask(bob, 'DELETE', path(BOB.email))
  assert.is(status, 204)
  assert.is((await ask(ada, 'DELETE', `${home}?force=true`)).status, 204)
  assert.is((await ask(ada, 'DELETE', path(ADA.email))).status, 204)
  assert.is((await ask(ada, 'GET', 'user')).status, 401)
})

rule('the last one takes along the links that they gave away', async () => {
  await using registry = await startTestRegistry()
  const ada = await registry.ada()
  const link = await inviteUser(ada)
  assert.is((await ask(ada, 'DELETE', path(ADA.email))).status, 204)
  const eve = { ...BOB, email: 'eve@example.org' }
  const words = await completeSetup(link, eve).catch((error: Error) => error.message)
  assert.match(String(words), 'unknown, used or expired')
  assert.is((await openBrowser(registry.url).open(new URL(link).pathname)).status, 410)
})

rule('has a form on the page, whose word must be the name, and tokens beside it', async () => {
  await using registry = await startTestRegistry()
  const { bob } = await scene(registry)
  assert.match((await bob.open('/')).text, 'href="/account"')
  const made = await bob.submit('/account/tokens', {
    description: 'ci <b>',
    lifetime: '1 day',
    scopes: 'read',
  })
  const [token = ''] = /nxt_[a-z2-7]{32}/.exec(made.text) ?? []
  assert.is((await withToken(registry.url, token)('GET', '/user')).status, 200)
  const shown = (await bob.open('/account')).text
  assert.is(shown.includes(token), false)
  assert.match(shown, 'ci &lt;b&gt;')
  for (const wrong of [
    { description: '', lifetime: '1 day', scopes: 'read' },
    { description: 'x', lifetime: '1 day' },
    { description: 'x'.repeat(129), lifetime: '1 day', scopes: 'read' },
  ]) {
    const refused = await bob.submit('/account/tokens', wrong as Record<string, string>)
    assert.equal([refused.status, refused.text.includes('nxt_')], [422, false])
  }
  for (const wrong of [
    { description: 'x', lifetime: 'for ever', scopes: 'read' },
    { description: 'x', lifetime: '1 day', scopes: 'everything' },
  ]) {
    assert.is((await bob.submit('/account/tokens', wrong)).status, 400)
  }
  const [revoke = ''] = /\/account\/tokens\/[a-z2-7]+\/revoke/.exec(shown) ?? []
  const elsewhere = await bob.fetch(revoke, {
    method: 'POST',
    headers: { origin: 'https://evil.example' },
  })
  assert.is(elsewhere.status, 403)
  assert.is((await bob.submit(revoke, {})).status, 200)
  assert.is((await withToken(registry.url, token)('GET', '/user')).status, 401)
  assert.is((await bob.submit(revoke, {})).status, 404)
  assert.match(shown, 'to come again you need a new invitation')
  const not = await bob.submit('/account/delete', { confirm: 'Bob', devices: 'revoke' })
  assert.match(not.text, 'That is not your name')
  assert.is((await ask(bob, 'GET', 'user')).status, 200)
  const gone = await bob.submit('/account/delete', { confirm: BOB.email, devices: 'revoke' })
  assert.match(gone.text, 'Your user is deleted')
  assert.is((await ask(bob, 'GET', 'user')).status, 401)
})

rule('is for its user alone: a stranger finds no token of others', async () => {
  await using registry = await startTestRegistry()
  const { ada, bob } = await scene(registry)
  const made = await ask(ada, 'POST', 'user/tokens', { description: 'ci', scopes: ['read'] })
  const path = `/account/tokens/${made.json['id']}/revoke`
  assert.is((await bob.submit(path, {})).status, 404)
  const tokens = (await ask(ada, 'GET', 'user/tokens')).json['tokens'] as unknown[]
  assert.is(tokens.length, 1)
})

rule.run()
