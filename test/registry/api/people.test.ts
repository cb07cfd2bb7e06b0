import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { toBase64 } from '../../../crypto/bytes.ts'
import { type Browser, openBrowser, organizationsOf } from '../../../simulations/lab/login.ts'
import { clientOf, newApplicant } from '../../support/applicant.ts'
import { startTestRegistry, type TestRegistry } from '../../support/registry.ts'

const rule = suite('API of people')

type Json = Record<string, unknown>

async function ask(browser: Browser, method: string, path: string, body?: unknown) {
  const response = await browser.fetch(`/v1/${path}`, {
    method,
    headers: { 'content-type': 'application/json', origin: browser.baseUrl },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  return { status: response.status, json: (text === '' ? {} : JSON.parse(text)) as Json }
}

async function scene(registry: TestRegistry) {
  const ada = await registry.ada()
  const [organization = ''] = await organizationsOf(ada)
  const home = `organizations/${organization}`
  const made = await ask(ada, 'POST', `${home}/registration-keys`, { description: 'lab' })
  const applicant = newApplicant('laptop')
  await clientOf(registry).enrol(applicant, { registrationKey: String(made.json['key']) })
  const { json } = await ask(ada, 'GET', `${home}/devices`)
  const [device] = json['devices'] as Json[]
  return { ada, home, organization, applicant, id: String(device?.['id']), device }
}

rule('lists the organizations and devices of who is signed in', async () => {
  await using registry = await startTestRegistry()
  const { ada, organization, device, applicant } = await scene(registry)
  const { json } = await ask(ada, 'GET', 'organizations')
  assert.is((json['organizations'] as Json[])[0]?.['id'], organization)
  assert.is(device?.['name'], 'laptop')
  assert.equal(device?.['roles'], ['relay'])
  const [ipv4] = (device?.['addresses'] ?? []) as string[]
  assert.is(ipv4, '100.64.0.1')
  assert.is.not(JSON.stringify(device).includes(toBase64(applicant.wireguardKey.publicKey)), true)
})

rule('changes and removes a device', async () => {
  await using registry = await startTestRegistry()
  const { ada, home, id } = await scene(registry)
  const change = { prefixes: ['10.99.0.1/32'], roles: ['router'], groups: ['edge'], name: 'edge-1' }
  const changed = await ask(ada, 'PATCH', `${home}/devices/${id}`, change)
  assert.is(changed.status, 200)
  for (const [field, value] of Object.entries(change)) assert.equal(changed.json[field], value)
  assert.is((await ask(ada, 'DELETE', `${home}/devices/${id}`)).status, 204)
  assert.is((await ask(ada, 'DELETE', `${home}/devices/${id}`)).status, 404)
  assert.is((await ask(ada, 'PATCH', `${home}/devices/${id}`, change)).status, 404)
})

rule('refuses a change that cannot be, and changes nothing', async () => {
  await using registry = await startTestRegistry()
  const { ada, home, id, device } = await scene(registry)
  const cases: [unknown, string][] = [
    [{ prefixes: ['10.0.0.1/8'] }, 'invalid-input'],
    [{ prefixes: ['100.64.0.2/32'] }, 'prefix-invalid'],
    [{ prefixes: 'all' }, 'invalid-input'],
    [{ roles: ['king'] }, 'invalid-input'],
    [{ name: 'No Name' }, 'device-invalid'],
    [{ groups: [''] }, 'invalid-input'],
    [{ owner: 'me' }, 'invalid-input'],
  ]
  for (const [body, code] of cases) {
    const { status, json } = await ask(ada, 'PATCH', `${home}/devices/${id}`, body)
    assert.equal([status, json['code']], [400, code], JSON.stringify(json))
  }
  const { json } = await ask(ada, 'GET', `${home}/devices`)
  assert.equal((json['devices'] as Json[])[0], device)
})

rule('another person’s organization is not found, whatever is asked of it', async () => {
  await using registry = await startTestRegistry()
  const { ada, home, id } = await scene(registry)
  const bob = await registry.bob(ada)
  const asked: [string, string, unknown?][] = [
    ['GET', `${home}/devices`],
    ['PATCH', `${home}/devices/${id}`, { groups: ['x'] }],
    ['DELETE', `${home}/devices/${id}`],
    ['GET', `${home}/registration-keys`],
    ['POST', `${home}/registration-keys`, { description: 'x' }],
    ['DELETE', `${home}/registration-keys/x`],
  ]
  for (const [method, path, body] of asked) {
    const { status, json } = await ask(bob, method, path, body)
    assert.equal([status, json['code']], [404, 'organization-not-found'], `${method} ${path}`)
  }
  const [own] = await organizationsOf(bob)
  const { status } = await ask(bob, 'DELETE', `organizations/${own}/devices/${id}`)
  assert.is(status, 404)
  assert.is(((await ask(ada, 'GET', `${home}/devices`)).json['devices'] as Json[]).length, 1)
})

rule('nothing is told to who is not signed in, nor done for another site’s page', async () => {
  await using registry = await startTestRegistry()
  const { ada, home, id } = await scene(registry)
  const nobody = await ask(openBrowser(registry.url), 'GET', `${home}/devices`)
  assert.equal([nobody.status, nobody.json['code']], [401, 'not-signed-in'])
  const response = await ada.fetch(`/v1/${home}/devices/${id}`, {
    method: 'DELETE',
    headers: { 'sec-fetch-site': 'cross-site' },
  })
  assert.is(response.status, 403)
  assert.is(((await ask(ada, 'GET', `${home}/devices`)).json['devices'] as Json[]).length, 1)
})

rule('shows a registration key once, and revokes it', async () => {
  await using registry = await startTestRegistry()
  const { ada, home } = await scene(registry)
  const made = await ask(ada, 'POST', `${home}/registration-keys`, {
    description: 'server room',
    lifetime: 60,
  })
  assert.is(made.status, 201)
  const { json } = await ask(ada, 'GET', `${home}/registration-keys`)
  assert.not.ok(JSON.stringify(json).includes(String(made.json['key'])))
  const path = `${home}/registration-keys/${made.json['id']}`
  assert.is((await ask(ada, 'DELETE', path)).status, 204)
  assert.is((await ask(ada, 'DELETE', path)).status, 404)
  for (const lifetime of [0, 59, 366 * 86_400, 1.5]) {
    const refused = await ask(ada, 'POST', `${home}/registration-keys`, {
      description: 'x',
      lifetime,
    })
    assert.equal([refused.status, refused.json['field']], [400, 'lifetime'])
  }
})

rule.run()
