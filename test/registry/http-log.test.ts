// time limit: 240 s
/** What requests leave in the log at its most talkative: each its id, none a secret. */
import { closeSync, openSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { randomBytes } from '../../crypto/random.ts'
import { createApp } from '../../registry/app.ts'
import { createLog } from '../../registry/log.ts'
import { systemClock } from '../../registry/system-clock.ts'
import { inviteUser, openBrowser, organizationsOf, signIn } from '../../simulations/lab/login.ts'
import { newToken, withSession, withToken } from '../support/api.ts'
import { clientOf, newApplicant } from '../support/applicant.ts'
import { mountedRoutes } from '../support/mounted-routes.ts'
import {
  ADA,
  BOB,
  startTestRegistry,
  type TestRegistry,
  temporaryDirectory,
} from '../support/registry.ts'

const rule = suite('log of requests')

type Logged = TestRegistry['logged']

/** As they stand in the log of a registry that was told to write all. */
async function linesOf(logged: Logged): Promise<string[]> {
  const file = join(await temporaryDirectory(), 'log')
  const fd = openSync(file, 'w')
  const log = createLog('debug', fd)
  for (const { level, event, fields } of logged) log(level as 'debug', event, fields)
  closeSync(fd)
  return readFileSync(file, 'utf8').trim().split('\n')
}

async function assertSecretsKept(logged: Logged, secrets: Record<string, string>): Promise<void> {
  const lines = await linesOf(logged)
  assert.is(lines.length, logged.length)
  for (const [what, secret] of Object.entries(secrets)) {
    assert.ok(secret.length >= 8, `${what}: ${secret}`)
    const told = lines.filter((line) => line.toLowerCase().includes(secret.toLowerCase()))
    assert.equal(told, [], what)
  }
}

/** Parameters of paths that name things to those who may see them, and open nothing. */
const IDS = new Set(
  ['organization', 'device', 'key', 'user', 'invitation', 'request', 'id', 'answer'].map(
    (name) => `:${name}`,
  ),
)
/** Paths where `:token` is the id of a token. */
const OF_TOKEN_IDS = /\/tokens\/:token/

const SECRET = 'sekritsekritsekritsekrit'

/** The paths of all routes, a secret in each place that is none of an id. */
async function secretPaths(registry: TestRegistry) {
  const routes = await mountedRoutes(registry)
  return routes.flatMap(({ method, path }) => {
    const known = path.replace(OF_TOKEN_IDS, '/tokens/aaaaaaaa')
    const filled = known.replace(/:\w+/g, (name) => (IDS.has(name) ? 'aaaaaaaa' : SECRET))
    return filled.includes(SECRET) ? [{ method, path: filled }] : []
  })
}

/** With other cases, slashes, escapes and ends: most name no route, and their secrets may still be good. */
function variantsOf(path: string): string[] {
  const [, first = '', ...rest] = path.split('/')
  const escaped = `%${first.charCodeAt(0).toString(16)}${first.slice(1)}`
  return [
    ...[path, path.toUpperCase(), `/${path}`, `${path}/`, `${path}/more`, `${path}?x=${SECRET}`],
    ...[path.replace(`/${SECRET}`, `//${SECRET}`), path.replace(SECRET, `%ff${SECRET}`)],
    `/${[escaped, ...rest].join('/')}`,
  ]
}

rule('no path of any route tells a secret, whoever asks and however it is written', async () => {
  let logged: Logged = []
  const ids: string[] = []
  {
    await using registry = await startTestRegistry({ logLevel: 'debug' })
    const paths = await secretPaths(registry)
    const named = [...new Set(paths.map(({ path }) => path.replace(SECRET, '…')))]
    assert.equal(named.toSorted(), ['/invitations/…', '/login/…', '/setup/…'])
    const also = [`/oidc/auth/${SECRET}`, '/v1/user/tokens/nxt_sekritsekrit', '/x/nrk_sekritsekrit']
    const asked = [
      ...paths.flatMap(({ method, path }) => variantsOf(path).map((each) => [method, each])),
      ...also.map((path) => ['GET', path]),
    ]
    for (const [method = '', path = ''] of asked) {
      const answer = await fetch(`${registry.url}${path}`, { method, redirect: 'manual' })
      await answer.body?.cancel()
      ids.push(String(answer.headers.get('x-request-id')))
    }
    logged = registry.logged
  }
  const requests = logged.filter(({ event }) => event === 'http.request')
  for (const id of ids) assert.ok(requests.some(({ fields }) => fields['id'] === id))
  await assertSecretsKept(logged, { path: 'sekritsekrit' })
})

rule('nor does the line of a request that fails by our fault, which has the id too', async () => {
  const logged: Logged = []
  const context = {
    ...{ clock: systemClock, randomBytes, publicUrl: 'https://registry.example' },
    config: { trustedProxies: [] },
    log: (level: string, event: string, fields = {}) => void logged.push({ level, event, fields }),
  }
  const fail = () => {
    throw new Error('it broke')
  }
  const app = createApp(context as never, { api: fail, pages: fail, errorPage: () => 'sorry' })
  const server = createServer(app)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const above = ['setup', 'invitations', 'login']
  const paths = [
    ...above.flatMap((each) => variantsOf(`/${each}/${SECRET}`)),
    ...['/v1/user/tokens/nxt_sekritsekrit', '/organizations/acme'],
  ]
  const ids: string[] = []
  for (const path of paths) {
    const answer = await fetch(`${base}${path}`)
    assert.is(answer.status, 500, path)
    await answer.body?.cancel()
    ids.push(String(answer.headers.get('x-request-id')))
  }
  await new Promise((resolve) => server.close(resolve))
  const failures = logged.filter(({ event }) => event === 'http.failed')
  assert.equal(
    failures.map(({ fields }) => fields['id']),
    ids,
  )
  assert.is(failures.at(-1)?.fields['path'], '/organizations/acme')
  assert.is(failures[0]?.fields['path'], '/setup/…')
  await assertSecretsKept(logged, { path: 'sekritsekrit' })
})

/** Goes through what has secrets, first as it should be, then again or wrongly. Those secrets, by what they are. */
async function secretsInUse(registry: TestRegistry): Promise<Record<string, string>> {
  const first = String(registry.registry.setupUrl)
  const ada = await registry.ada()
  await ada.open(new URL(first).pathname)
  const second = await inviteUser(ada)
  const bob = openBrowser(registry.url)
  await bob.open(new URL(second).pathname)
  await bob.submit(new URL(second).pathname, { ...BOB })
  const form = await bob.open('/login')
  await signIn(bob, form, { ...BOB, password: 'wrong password of Bob' })
  const home = await signIn(bob, form, BOB)
  assert.is(home.url.pathname, '/')
  const mallory = openBrowser(registry.url)
  await mallory.open('/login')
  await mallory.open('/auth/callback?code=sekrit-code&state=sekrit-state')

  const [organization = ''] = await organizationsOf(ada)
  const ask = withSession(ada)
  const at = `/organizations/${organization}`
  const invited = await ask('POST', `${at}/invitations`, { role: 'member' })
  const invitation = String(invited.json['link']).split('/').at(-1) ?? ''
  const page = `/invitations/${invitation}`
  assert.is((await openBrowser(registry.url).fetch(page)).status, 303)
  assert.is((await bob.open(page)).status, 200)
  assert.is((await bob.submit(page, {})).url.pathname, at)
  assert.is((await ada.open(page)).status, 410)
  assert.ok((await ada.submit(page, {})).status >= 400)

  const client = clientOf(registry)
  const started = await client.authorize(newApplicant('laptop'))
  await ada.open(started.verification_uri_complete)
  await client.token(started.device_code).catch(() => undefined)
  const made = await ask('POST', `${at}/registration-keys`, { description: 'lab' })
  const { token } = await newToken(ask, ['read'])
  assert.is((await withToken(registry.url, token)('GET', '/user')).status, 200)
  await client.enrol(newApplicant('server'), { registrationKey: String(made.json['key']) })
  return {
    'first set-up link': first.split('/').at(-1) ?? '',
    'second set-up link': second.split('/').at(-1) ?? '',
    'sign-in': form.url.pathname.split('/').at(-1) ?? '',
    'authorization code': 'sekrit-code',
    state: 'sekrit-state',
    invitation,
    'device code': started.device_code,
    'user code': started.user_code,
    'registration key': String(made.json['key']),
    'API token': token,
    'password of Ada': ADA.password,
    'password of Bob': BOB.password,
    'wrong password': 'wrong password of Bob',
    session: String(ada.cookie('nexodus-session')),
  }
}

rule('what people and devices do leaves lines with ids and without secrets', async () => {
  let logged: Logged = []
  let secrets: Record<string, string> = {}
  {
    await using registry = await startTestRegistry({ logLevel: 'debug' })
    secrets = await secretsInUse(registry)
    logged = registry.logged
  }
  await assertSecretsKept(logged, secrets)
  const events = logged.map(({ event }) => event)
  for (const event of [
    'identity.signed-in',
    'identity.password-wrong',
    'identity.sign-in-failed',
  ]) {
    assert.ok(events.includes(event), event)
  }
  const paths = logged.map(({ fields }) => fields['path'])
  for (const path of ['/setup/…', '/invitations/…', '/login/…', '/oidc/auth/…']) {
    assert.ok(paths.includes(path), path)
  }
  const byRequest = /^(http|identity|device|registration-key|token|login)\./
  for (const { event, fields } of logged.filter((each) => byRequest.test(each.event))) {
    assert.match(String(fields['id']), /^[a-z2-7]{16}$/, event)
  }
})

rule.run()
