// time limit: 240 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SCOPES } from '../../../protocol/scopes.ts'
import { organizationsOf } from '../../../simulations/lab/login.ts'
import { type Json, newToken, withSession, withToken } from '../../support/api.ts'
import { startTestRegistry, type TestRegistry } from '../../support/registry.ts'

const rule = suite('API tokens')

const DAY = 86_400

async function scene(registry: TestRegistry) {
  const browser = await registry.ada()
  const [organization = ''] = await organizationsOf(browser)
  const ada = withSession(browser)
  return { browser, ada, organization, home: `/organizations/${organization}` }
}

rule('a token does what its scopes say, and nothing else', async () => {
  await using registry = await startTestRegistry()
  const { ada, home } = await scene(registry)
  const { token } = await newToken(ada, ['read', 'registration-keys:write'])
  assert.match(token, /^nxt_[a-z2-7]{32}$/)
  const program = withToken(registry.url, token)
  assert.is((await program('GET', `${home}/devices`)).status, 200)
  assert.is((await program('POST', `${home}/registration-keys`, { description: 'x' })).status, 201)
  const refused: [string, string][] = [
    ['DELETE', `${home}/devices/x`],
    ['GET', `${home}/audit`],
    ['GET', '/user/audit'],
    ['POST', '/user/tokens'],
    ['DELETE', '/user/tokens/x'],
  ]
  for (const [method, path] of refused) {
    const { status, json } = await program(method, path)
    assert.equal([status, json['code']], [403, 'scope-missing'], `${method} ${path}`)
  }
})

rule('a token deletes its user only with the scope of everything that goes along', async () => {
  await using registry = await startTestRegistry()
  const { ada } = await scene(registry)
  const all = ['organizations:write', 'devices:write', 'members:write', 'tokens:write']
  const tokens = await Promise.all(
    all.map((missing) =>
      newToken(
        ada,
        SCOPES.filter((scope) => scope !== missing),
      ),
    ),
  )
  const last = await newToken(ada, all)
  const path = `/user?confirm=${encodeURIComponent('ada@example.org')}`
  for (const { token } of tokens) {
    const { status, json } = await withToken(registry.url, token)('DELETE', path)
    assert.equal([status, json['code']], [403, 'scope-missing'], String(json['detail']))
  }
  assert.is((await ada('GET', '/user')).status, 200)
  assert.is((await withToken(registry.url, last.token)('DELETE', path)).status, 204)
  assert.is((await ada('GET', '/user')).status, 401)
  assert.ok(registry.logged.some(({ event }) => event === 'user.deleted'))
})

rule('says who asks, by what token, and when it was used', async () => {
  await using registry = await startTestRegistry()
  const { ada } = await scene(registry)
  assert.is((await ada('GET', '/user')).json['token'], undefined)
  const { id, token } = await newToken(ada, ['read'])
  const { json } = await withToken(registry.url, token)('GET', '/user')
  assert.is(json['name'], 'ada@example.org')
  assert.is((json['token'] as Json)['id'], id)
  assert.equal((json['token'] as Json)['scopes'], ['read'])
  const listed = (await ada('GET', '/user/tokens')).json['tokens'] as Json[]
  assert.is(listed[0]?.['usedFrom'], '127.0.0.1')
  assert.not.match(JSON.stringify(listed), token.slice(4))
})

rule('a token that was revoked, has expired or never was is refused at once', async () => {
  await using registry = await startTestRegistry()
  const { ada } = await scene(registry)
  const revoked = await newToken(ada, ['read'])
  const short = await newToken(ada, ['read'], { lifetime: 60 })
  assert.is((await ada('DELETE', `/user/tokens/${revoked.id}`)).status, 204)
  assert.is((await ada('DELETE', `/user/tokens/${revoked.id}`)).status, 404)
  registry.clock.advance(61)
  const bad = [revoked.token, short.token, `nxt_${'a'.repeat(32)}`, 'nxt_', '', 'x'.repeat(9000)]
  for (const token of bad) {
    const { status, json, headers } = await withToken(registry.url, token)('GET', '/user')
    assert.equal([status, json['code']], [401, 'token-refused'], token.slice(0, 50))
    assert.match(headers.get('www-authenticate') ?? '', 'Bearer')
  }
})

rule('a session beside a bad token does not help', async () => {
  await using registry = await startTestRegistry()
  const { ada } = await scene(registry)
  const { status } = await ada('GET', '/user', undefined, { authorization: 'Bearer nxt_none' })
  assert.is(status, 401)
  assert.is((await ada('GET', '/user', undefined, { authorization: 'Basic x' })).status, 401)
})

rule('whoever holds a token may give it up, and learns nothing of others', async () => {
  await using registry = await startTestRegistry()
  const { ada } = await scene(registry)
  const { token } = await newToken(ada, ['devices:write'])
  const stranger = withToken(registry.url)
  for (const sent of [token, token, 'nxt_unknown']) {
    assert.is((await stranger('POST', '/revoke', { token: sent })).status, 200)
  }
  assert.is((await withToken(registry.url, token)('GET', '/user')).status, 401)
  assert.is((await stranger('POST', '/revoke', {})).status, 400)
})

rule('a token makes no token that is mightier than itself, or lasts longer', async () => {
  await using registry = await startTestRegistry()
  const { ada } = await scene(registry)
  const { token } = await newToken(ada, ['read', 'tokens:write'], { lifetime: DAY })
  const program = withToken(registry.url, token)
  const make = (wanted: object) => program('POST', '/user/tokens', { description: 'x', ...wanted })
  assert.is((await make({ scopes: ['read'], lifetime: DAY / 2 })).status, 201)
  const { json: usual } = await make({ scopes: ['read'] })
  assert.ok(Number(usual['expiresAt']) <= registry.clock.now() + DAY)
  for (const wanted of [
    { scopes: ['read', 'devices:write'], lifetime: 60 },
    { scopes: ['read'], lifetime: 2 * DAY },
  ]) {
    const { status, json } = await make(wanted)
    assert.equal([status, json['code']], [403, 'token-scope'])
  }
})

rule('refuses tokens that cannot be', async () => {
  await using registry = await startTestRegistry()
  const { ada } = await scene(registry)
  const good = { description: 'x', scopes: ['read'], lifetime: 60 }
  const cases: [Json, string][] = [
    [{ scopes: [] }, 'scopes'],
    [{ scopes: ['king'] }, 'scopes.0'],
    [{ scopes: Array.from({ length: SCOPES.length + 1 }, () => 'read') }, 'scopes'],
    [{ lifetime: 59 }, 'lifetime'],
    [{ lifetime: 366 * DAY }, 'lifetime'],
    [{ description: '' }, 'description'],
    [{ description: 'a\u0000b' }, 'description'],
    [{ user: 'bob' }, ''],
  ]
  for (const [wrong, field] of cases) {
    const { status, json } = await ada('POST', '/user/tokens', { ...good, ...wrong })
    assert.equal([status, json['field'] ?? ''], [400, field], JSON.stringify(wrong))
  }
})

rule('a user has a hundred at most', async () => {
  await using registry = await startTestRegistry()
  const { ada } = await scene(registry)
  for (let count = 0; count < 100; count++) await newToken(ada, ['read'])
  const more = await ada('POST', '/user/tokens', { description: 'x', scopes: ['read'] })
  assert.equal([more.status, more.json['code']], [409, 'too-many-tokens'])
})

rule('one user’s tokens are not another’s', async () => {
  await using registry = await startTestRegistry()
  const { browser, ada } = await scene(registry)
  const bob = withSession(await registry.bob(browser))
  const { id, token } = await newToken(ada, [...SCOPES])
  assert.is((await bob('DELETE', `/user/tokens/${id}`)).status, 404)
  assert.equal((await bob('GET', '/user/tokens')).json['tokens'], [])
  const [own] = (await bob('GET', '/organizations')).json['organizations'] as Json[]
  const { status } = await withToken(registry.url, token)(
    'GET',
    `/organizations/${own?.['id']}/devices`,
  )
  assert.is(status, 404)
})

rule('what is made and revoked is in the user’s own audit log, without the secret', async () => {
  await using registry = await startTestRegistry()
  const { ada } = await scene(registry)
  const { id, token } = await newToken(ada, ['read'])
  await ada('DELETE', `/user/tokens/${id}`)
  const entries = (await ada('GET', '/user/audit')).json['entries'] as Json[]
  assert.equal(
    entries.map(({ action, subject }) => [action, subject]),
    [
      ['token.revoked', id],
      ['token.created', id],
    ],
  )
  assert.is(entries[0]?.['from'], '127.0.0.1')
  assert.not.match(JSON.stringify(entries), token.slice(4))
})

rule('what a token does is entered as its doing', async () => {
  await using registry = await startTestRegistry()
  const { ada, home } = await scene(registry)
  const { id, token } = await newToken(ada, ['registration-keys:write'])
  const program = withToken(registry.url, token)
  const made = await program('POST', `${home}/registration-keys`, { description: 'x' })
  const [entry] = (await ada('GET', `${home}/audit`)).json['entries'] as Json[]
  assert.is(entry?.['action'], 'registration-key.created')
  const who = (entry?.['who'] ?? {}) as Json
  assert.is(who['token'], id)
  assert.is(entry?.['requestId'], made.headers.get('x-request-id'))
})

rule.run()
