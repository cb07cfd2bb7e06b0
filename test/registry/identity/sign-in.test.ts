// time limit: 240 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  completeSetup,
  inviteUser,
  loginByHttp,
  messageOf,
  openBrowser,
  organizationsOf,
  signIn,
} from '../../../simulations/lab/login.ts'
import { ADA, BOB, startTestRegistry, type TestRegistry } from '../../support/registry.ts'

const rule = suite('sign-in with the embedded provider')

const test = (name: string, body: (registry: TestRegistry) => Promise<void>) =>
  rule(name, async () => {
    await using registry = await startTestRegistry()
    await body(registry)
  })

const SESSION = 'nexodus-session'

test('gives the first user, once signed in, an organization named after them', async (registry) => {
  const ada = await registry.ada()
  const [organization, ...more] = await organizationsOf(ada)
  assert.match(organization ?? '', /^[a-z2-7]{26}$/)
  assert.equal(more, [])
  assert.match((await ada.open('/')).text, '<h2>ada</h2>')
})

test('keeps one organization over many sign-ins', async (registry) => {
  const first = await organizationsOf(await registry.ada())
  const second = await organizationsOf(await loginByHttp(registry.url, ADA))
  assert.equal(second, first)
})

test('shows no page but sign-in to who is not signed in, and comes back to what was asked', async (registry) => {
  await registry.ada()
  const browser = openBrowser(registry.url)
  const form = await browser.open('/device?code=ABCD-EFGH')
  assert.match(form.text, 'autocomplete="current-password"')
  const page = await signIn(browser, form, ADA)
  assert.is(page.url.pathname + page.url.search, '/device?code=ABCD-EFGH')
})

test('goes to no other site after sign-in, whatever returnTo says', async (registry) => {
  await registry.ada()
  for (const returnTo of [
    'https://evil.example/',
    '//evil.example/',
    '/\\evil.example',
    'evil',
    '',
  ]) {
    const browser = openBrowser(registry.url)
    const form = await browser.open(`/login?returnTo=${encodeURIComponent(returnTo)}`)
    const page = await signIn(browser, form, ADA)
    assert.is(page.url.href, `${registry.url}/`, returnTo)
  }
})

test('refuses a wrong password and an unknown address with the same words', async (registry) => {
  await registry.ada()
  const attempt = async (credentials: typeof ADA) => {
    const browser = openBrowser(registry.url)
    const page = await signIn(browser, await browser.open('/login'), credentials)
    return [page.status, page.text.includes('E-mail or password is wrong.')]
  }
  assert.equal(await attempt({ ...ADA, password: 'wrong password' }), [401, true])
  assert.equal(await attempt({ ...BOB, password: 'wrong password' }), [401, true])
})

test('refuses even the right password after five wrong ones from one address', async (registry) => {
  await registry.ada()
  const browser = openBrowser(registry.url)
  const form = await browser.open('/login')
  for (let count = 0; count < 5; count++) {
    const page = await signIn(browser, form, { ...ADA, password: `guess number ${count}` })
    assert.is(page.status, 401)
  }
  const limited = await signIn(browser, form, ADA)
  assert.is(limited.status, 429)
})

test('takes a sign-in form only from the browser that asked for it', async (registry) => {
  await registry.ada()
  const asking = openBrowser(registry.url)
  const form = await asking.open('/login')
  const other = await signIn(openBrowser(registry.url), form, ADA)
  assert.is(other.status, 410, messageOf(other))
})

test('takes an answer only from the browser that began the sign-in', async (registry) => {
  const answer = await openBrowser(registry.url).open('/auth/callback?code=x&state=y')
  assert.is(answer.status, 400)
  assert.match(answer.text, 'was not begun in this browser')
})

test('refuses an answer with the state of another sign-in', async (registry) => {
  const browser = openBrowser(registry.url)
  await browser.open('/login')
  const answer = await browser.open('/auth/callback?code=x&state=of-another')
  assert.is(answer.status, 400)
  assert.match(answer.text, 'does not belong to this sign-in')
})

test('begins a session under a new id, whatever id was planted before', async (registry) => {
  const ada = await registry.ada()
  const adas = ada.cookie(SESSION) ?? ''
  for (const planted of ['chosen-by-the-attacker', adas]) {
    const victim = openBrowser(registry.url)
    const form = await victim.open('/login')
    victim.plant(SESSION, planted)
    await signIn(victim, form, ADA)
    assert.is((await victim.fetch('/')).status, 200)
    assert.not.equal(victim.cookie(SESSION), planted)
    const attacker = openBrowser(registry.url)
    attacker.plant(SESSION, planted)
    assert.is((await attacker.fetch('/')).status, 303)
  }
})

test('ends the session at sign-out, wherever its cookie is', async (registry) => {
  const ada = await registry.ada()
  const cookie = ada.cookie(SESSION) ?? ''
  const page = await ada.submit('/logout', {})
  assert.match(page.text, 'Signed out')
  const thief = openBrowser(registry.url)
  thief.plant(SESSION, cookie)
  const answer = await thief.fetch('/')
  assert.equal([answer.status, answer.headers.get('location')], [303, '/login'])
})

test('ends a session that is idle for a day, and any after a week', async (registry) => {
  const ada = await registry.ada()
  const isIn = async () => (await ada.fetch('/')).status === 200
  registry.clock.advance(23 * 3600)
  assert.is(await isIn(), true)
  registry.clock.advance(23 * 3600)
  assert.is(await isIn(), true, 'use made it last')
  registry.clock.advance(25 * 3600)
  assert.is(await isIn(), false)
  const again = await loginByHttp(registry.url, ADA)
  for (let day = 0; day < 8; day++) {
    registry.clock.advance(20 * 3600)
    await again.fetch('/')
  }
  registry.clock.advance(20 * 3600)
  assert.is((await again.fetch('/')).status, 303)
})

test('asks for the password again after sign-out', async (registry) => {
  const ada = await registry.ada()
  await ada.submit('/logout', {})
  assert.match((await ada.open('/login')).text, 'autocomplete="current-password"')
})

test('refuses forms of other sites, and of senders that do not say', async (registry) => {
  const ada = await registry.ada()
  const post = async (headers: Record<string, string>) =>
    (await ada.fetch('/logout', { method: 'POST', headers })).status
  assert.is(await post({ 'sec-fetch-site': 'cross-site' }), 403)
  assert.is(await post({ 'sec-fetch-site': 'same-site', origin: registry.url }), 403)
  assert.is(await post({ origin: 'http://evil.example' }), 403)
  assert.is(await post({ origin: 'null' }), 403)
  assert.is(await post({ 'sec-fetch-mode': 'no-cors' }), 403)
  assert.is((await ada.fetch('/')).status, 200, 'still signed in')
  assert.is(await post({ 'sec-fetch-site': 'same-origin' }), 200)
})

test('lets only the first user invite others', async (registry) => {
  const ada = await registry.ada()
  const bob = await registry.bob(ada)
  assert.match((await ada.open('/users')).text, BOB.email)
  assert.is((await bob.open('/users')).status, 403)
  assert.is((await bob.submit('/users/invitations', {})).status, 403)
  assert.not.equal(await organizationsOf(bob), await organizationsOf(ada))
})

test('makes no account for an address that has one', async (registry) => {
  const ada = await registry.ada()
  const link = await inviteUser(ada)
  const twice = completeSetup(link, { ...ADA, email: 'Ada@Example.org' })
  assert.match(String(await twice.catch((e: unknown) => e)), 'has an account already')
  await completeSetup(link, BOB)
})

rule.run()
