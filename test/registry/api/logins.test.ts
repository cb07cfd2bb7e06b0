// time limit: 240 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Browser } from '../../../simulations/lab/login.ts'
import { type Json, withSession, withToken } from '../../support/api.ts'
import { clientOf, newApplicant } from '../../support/applicant.ts'
import { startTestRegistry, type TestRegistry } from '../../support/registry.ts'

const rule = suite('login of programs (RFC 8628)')

const GRANT = 'urn:ietf:params:oauth:grant-type:device_code'
const WANTED = { client: 'nexctl on laptop', scopes: ['read', 'devices:write'], lifetime: 3600 }

async function begin(registry: TestRegistry, wanted: object = WANTED): Promise<Json> {
  const stranger = withToken(registry.url)
  const { status, json } = await stranger('POST', '/login-authorizations', wanted)
  assert.is(status, 200, JSON.stringify(json))
  return json
}

const poll = (registry: TestRegistry, { device_code }: Json) =>
  withToken(registry.url)('POST', '/token', { grant_type: GRANT, device_code })

const decide = (browser: Browser, { user_code }: Json, decision: string) =>
  browser.submit('/device/login', { user_code: String(user_code), decision })

rule('shows what is asked, and gives a token of whoever approves, once', async () => {
  await using registry = await startTestRegistry()
  const browser = await registry.ada()
  const asked = await begin(registry)
  assert.is((await poll(registry, asked)).json['error'], 'authorization_pending')
  const page = await browser.open(String(asked['verification_uri_complete']))
  for (const told of ['nexctl on laptop', 'approve, change and remove devices', '127.0.0.1']) {
    assert.match(page.text, told)
  }
  assert.not.match(page.text, 'audit')
  assert.match((await decide(browser, asked, 'approve')).text, '<h1>Logged in</h1>')
  registry.clock.advance(3)
  await new Promise((resolve) => setTimeout(resolve, 2000))
  const { status, json } = await poll(registry, asked)
  assert.equal([status, json['token_type'], json['expires_in']], [200, 'Bearer', 3600])
  const token = String(json['access_token'])
  const who = await withToken(registry.url, token)('GET', '/user')
  assert.is(who.json['name'], 'ada@example.org')
  assert.equal((who.json['token'] as Json)['scopes'], WANTED.scopes)
  assert.is((await poll(registry, asked)).json['error'], 'invalid_grant')
})

rule(
  'following the link approves nothing, and a denied or expired login gets no token',
  async () => {
    await using registry = await startTestRegistry()
    const browser = await registry.ada()
    const denied = await begin(registry)
    await browser.open(String(denied['verification_uri_complete']))
    assert.is((await poll(registry, denied)).json['error'], 'authorization_pending')
    assert.match((await decide(browser, denied, 'deny')).text, '<h1>Denied</h1>')
    await new Promise((resolve) => setTimeout(resolve, 2000))
    assert.is((await poll(registry, denied)).json['error'], 'access_denied')
    const late = await begin(registry)
    registry.clock.advance(601)
    assert.is((await decide(browser, late, 'approve')).status, 404)
    assert.is((await poll(registry, late)).json['error'], 'expired_token')
    assert.equal((await withSession(browser)('GET', '/user/tokens')).json['tokens'], [])
  },
)

rule('a device’s code logs nobody in, and a login’s code enrols no device', async () => {
  await using registry = await startTestRegistry()
  const browser = await registry.ada()
  const device = await clientOf(registry).authorize(newApplicant('laptop'))
  assert.is((await decide(browser, { ...device }, 'approve')).status, 404)
  const login = await begin(registry)
  const [organization] = (await withSession(browser)('GET', '/organizations')).json[
    'organizations'
  ] as Json[]
  const wrong = await browser.submit('/device', {
    ...{ user_code: String(login['user_code']), decision: 'approve' },
    organization: String(organization?.['id']),
  })
  assert.is(wrong.status, 404)
  assert.is((await poll(registry, login)).json['error'], 'authorization_pending')
})

rule('another site’s page cannot approve', async () => {
  await using registry = await startTestRegistry()
  const browser = await registry.ada()
  const asked = await begin(registry)
  const body = new URLSearchParams({ user_code: String(asked['user_code']), decision: 'approve' })
  for (const headers of [{ 'sec-fetch-site': 'cross-site' }, { origin: 'https://evil.example' }]) {
    const answer = await browser.fetch('/device/login', { method: 'POST', headers, body })
    assert.is(answer.status, 403)
  }
  assert.is((await poll(registry, asked)).json['error'], 'authorization_pending')
})

rule(
  'who guesses codes is locked out, wherever from, and the right one is then refused too',
  async () => {
    await using registry = await startTestRegistry({ trustedProxies: ['127.0.0.0/8'] })
    const browser = await registry.ada()
    const asked = await begin(registry)
    const statuses: number[] = []
    for (let count = 0; count < 12; count++) {
      const code = `BBBB-BB${'BCDFGHJKLMNP'[count]}B`
      const headers = { 'x-forwarded-for': `203.0.113.${count}` }
      const answer = await browser.fetch(`/device?code=${code}`, { headers })
      await answer.body?.cancel()
      statuses.push(answer.status)
    }
    assert.equal(statuses, [...Array(10).fill(404), 429, 429])
    const headers = { 'x-forwarded-for': '203.0.113.99' }
    const right = await browser.fetch(`/device?code=${asked['user_code']}`, { headers })
    assert.is(right.status, 429)
    assert.match(await right.text(), 'wait 15 minutes')
  },
)

rule('refuses what cannot be asked for', async () => {
  await using registry = await startTestRegistry()
  const cases: Json[] = [
    { ...WANTED, scopes: [] },
    { ...WANTED, scopes: ['everything'] },
    { ...WANTED, lifetime: 0 },
    { ...WANTED, client: '' },
    { ...WANTED, client: '\u001b[31m' },
    { scopes: ['read'] },
    {},
  ]
  for (const wanted of cases) {
    const { status } = await withToken(registry.url)('POST', '/login-authorizations', wanted)
    assert.is(status, 400, JSON.stringify(wanted))
  }
})

rule('one address has 64 that wait at most', async () => {
  await using registry = await startTestRegistry()
  for (let count = 0; count < 64; count++) await begin(registry)
  const more = await withToken(registry.url)('POST', '/login-authorizations', WANTED)
  assert.equal([more.status, more.json['code']], [429, 'too-many-pending'])
  registry.clock.advance(601)
})

rule.run()
