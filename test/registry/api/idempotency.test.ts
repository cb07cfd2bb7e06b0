// time limit: 240 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { organizationsOf } from '../../../simulations/lab/login.ts'
import { type Json, newToken, withSession, withToken } from '../../support/api.ts'
import { startTestRegistry, type TestRegistry } from '../../support/registry.ts'

const rule = suite('Idempotency-Key')

const KEY = '2c0f6c61-5d7c-4a3c-9d2e-0f6f0a1f7a11'

async function scene(registry: TestRegistry) {
  const browser = await registry.ada()
  const [organization = ''] = await organizationsOf(browser)
  // A session would end within the day that a key stands for its request.
  const { token } = await newToken(withSession(browser), [
    'read',
    'audit:read',
    'tokens:write',
    'registration-keys:write',
  ])
  const ada = withToken(registry.url, token)
  const keys = `/organizations/${organization}/registration-keys`
  return {
    ...{ browser, ada, organization, keys },
    make: (key: string, body: unknown = { description: 'lab' }) =>
      ada('POST', keys, body, { 'idempotency-key': key }),
    count: async () => ((await ada('GET', keys)).json['registrationKeys'] as Json[]).length,
  }
}

rule('a request that is repeated is done once, and answered alike', async () => {
  await using registry = await startTestRegistry()
  const { make, count } = await scene(registry)
  const first = await make(KEY)
  const again = await make(KEY)
  assert.is(first.status, 201)
  assert.equal([again.status, again.json], [first.status, first.json])
  assert.match(String(first.json['key']), /^nrk_/)
  assert.is(await count(), 1)
})

rule('requests that race with one key are done once', async () => {
  await using registry = await startTestRegistry()
  const { make, count } = await scene(registry)
  const answers = await Promise.all(Array.from({ length: 8 }, () => make(KEY)))
  for (const { status, json } of answers) {
    assert.ok(status === 201 || json['code'] === 'idempotency-in-progress', JSON.stringify(json))
  }
  assert.is(await count(), 1)
  assert.is((await make(KEY)).status, 201)
})

rule('another request with the same key is refused and not done', async () => {
  await using registry = await startTestRegistry()
  const { make, ada, count } = await scene(registry)
  await make(KEY)
  const other = await make(KEY, { description: 'other' })
  assert.equal([other.status, other.json['code']], [422, 'idempotency-key-reused'])
  const token = { description: 'x', scopes: ['read'] }
  const elsewhere = await ada('POST', '/user/tokens', token, { 'idempotency-key': KEY })
  assert.is(elsewhere.status, 422)
  assert.is(await count(), 1)
})

rule('a key is its user’s own, and stands for a day', async () => {
  await using registry = await startTestRegistry()
  const { make, browser, count } = await scene(registry)
  await make(KEY)
  const bob = withSession(await registry.bob(browser))
  const [own] = (await bob('GET', '/organizations')).json['organizations'] as Json[]
  const path = `/organizations/${own?.['id']}/registration-keys`
  const body = { description: 'bob' }
  assert.is((await bob('POST', path, body, { 'idempotency-key': KEY })).status, 201)
  registry.clock.advance(86_000)
  await make(KEY)
  assert.is(await count(), 1)
  registry.clock.advance(500)
  await make(KEY)
  assert.is(await count(), 2)
})

rule('a request that was refused is tried again', async () => {
  await using registry = await startTestRegistry()
  const { make, count } = await scene(registry)
  assert.is((await make(KEY, { description: '' })).status, 400)
  assert.is((await make(KEY)).status, 201)
  assert.is(await count(), 1)
})

rule('the store holds no secret of an answer that is kept', async () => {
  await using registry = await startTestRegistry()
  const { make, organization, ada } = await scene(registry)
  const { json } = await make(KEY)
  const secret = String(json['key']).slice(4)
  const { readdir, readFile } = await import('node:fs/promises')
  const directory = `${registry.config.stateDirectory}/store`
  let found = 0
  for (const name of await readdir(directory)) {
    const text = await readFile(`${directory}/${name}`, 'latin1')
    if (text.includes(organization)) found++
    assert.not.ok(text.includes(secret), name)
    assert.not.ok(text.includes(KEY), name)
  }
  assert.ok(found > 0)
  const log = JSON.stringify((await ada('GET', `/organizations/${organization}/audit`)).json)
  assert.not.ok(log.includes(secret))
})

rule('refuses keys that are too short to keep an answer, or cannot be', async () => {
  await using registry = await startTestRegistry()
  const { make, count } = await scene(registry)
  for (const key of ['1', 'x'.repeat(15), 'x'.repeat(129), 'with a space in it']) {
    const { status, json } = await make(key)
    assert.equal([status, json['code']], [400, 'idempotency-key-invalid'], key)
  }
  assert.is(await count(), 0)
})

rule.run()
