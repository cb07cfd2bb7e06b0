// time limit: 240 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  approveDevice,
  type Browser,
  openBrowser,
  organizationsOf,
} from '../../../simulations/lab/login.ts'
import { clientOf, newApplicant } from '../../support/applicant.ts'
import { startTestRegistry, type TestRegistry } from '../../support/registry.ts'

const rule = suite('pages')

interface Scene {
  readonly registry: TestRegistry
  readonly ada: Browser
  /** The path of Ada's organization. */
  readonly home: string
}

const test = (name: string, body: (scene: Scene) => Promise<void>) =>
  rule(name, async () => {
    await using registry = await startTestRegistry()
    const ada = await registry.ada()
    const [organization] = await organizationsOf(ada)
    await body({ registry, ada, home: `/organizations/${organization}` })
  })

/** A device that waits for approval. */
async function waiting(registry: TestRegistry, name: string, system = 'linux x64') {
  const client = clientOf(registry)
  const applicant = newApplicant(name, system)
  const authorization = await client.authorize(applicant)
  const token = () => client.token(authorization.device_code)
  return { client, applicant, authorization, token }
}

/** A device of Ada's organization; the path of its page. */
async function enrolled({ registry, ada, home }: Scene, name: string, system?: string) {
  const { client, applicant, authorization, token } = await waiting(registry, name, system)
  await approveDevice(ada, authorization.verification_uri_complete)
  await client.enrol(applicant, { token: await token() })
  const path = new RegExp(`href="(${home}/devices/[a-z2-7]{52})"><strong>${name}<`)
  return path.exec((await ada.open(home)).text)?.[1] ?? ''
}

const refusal = (promise: Promise<unknown>) =>
  promise.then(
    () => 'none',
    (error: unknown) => (error instanceof Error && 'code' in error ? error.code : String(error)),
  )

test('show on the approval page what tells a device from another', async ({ registry, ada }) => {
  const { authorization } = await waiting(registry, 'laptop', 'debian 12 arm64')
  const { text } = await ada.open(authorization.verification_uri_complete)
  for (const shown of ['laptop', 'debian 12 arm64', '127.0.0.1', authorization.user_code]) {
    assert.match(text, shown)
  }
  assert.match(text, /[0-9a-f]{4}:[0-9a-f]{4}/)
})

test('never approve on a GET, whatever its query says', async ({ registry, ada }) => {
  const { authorization, token } = await waiting(registry, 'laptop')
  const code = authorization.user_code
  await ada.open(`/device?code=${code}&decision=approve`)
  await ada.open(`/device?user_code=${code}&decision=approve&organization=x`)
  assert.is(await refusal(token()), 'authorization_pending')
})

test('approve by a POST of a signed-in user, once', async ({ registry, ada }) => {
  const { authorization, token } = await waiting(registry, 'laptop')
  await approveDevice(ada, authorization.verification_uri_complete)
  assert.type(await token(), 'string')
  const again = await ada.submit('/device', {
    ...{ user_code: authorization.user_code, decision: 'deny' },
  })
  assert.is(again.status, 404)
})

test('approve nothing without a session, from another site, or into another’s organization', async (scene) => {
  const { registry, ada, home } = scene
  const { authorization, token } = await waiting(registry, 'laptop')
  const organization = home.split('/').at(-1) ?? ''
  const fields = { user_code: authorization.user_code, organization, decision: 'approve' }
  assert.is((await openBrowser(registry.url).submit('/device', fields)).status, 401)
  const crossSite = await ada.fetch('/device', {
    method: 'POST',
    headers: { 'sec-fetch-site': 'cross-site' },
    body: new URLSearchParams(fields),
  })
  assert.is(crossSite.status, 403)
  const bob = await registry.bob(ada)
  assert.is((await bob.submit('/device', fields)).status, 404)
  assert.is(await refusal(token()), 'authorization_pending')
})

test('deny a device', async ({ registry, ada }) => {
  const { authorization, token } = await waiting(registry, 'laptop')
  const page = await ada.submit('/device', {
    ...{ user_code: authorization.user_code, decision: 'deny' },
  })
  assert.match(page.text, '<h1>Denied</h1>')
  assert.is(await refusal(token()), 'access_denied')
})

test('take a code as people type it, and say when nobody waits with it', async ({
  registry,
  ada,
}) => {
  const { authorization } = await waiting(registry, 'laptop')
  const typed = ` ${authorization.user_code.toLowerCase().replace('-', ' ')}`
  assert.match(
    (await ada.open(`/device?code=${encodeURIComponent(typed)}`)).text,
    'Let this device in?',
  )
  for (const code of ['XXXX-XXXX', '%00', '<script>', 'a'.repeat(400)]) {
    const page = await ada.open(`/device?code=${encodeURIComponent(code)}`)
    assert.is(page.status, 404)
    assert.match(page.text, 'No device waits with this code')
    assert.not.match(page.text, '<script>')
  }
})

test('list devices with addresses, owner and dates', async (scene) => {
  await enrolled(scene, 'laptop')
  const { text } = await scene.ada.open(scene.home)
  assert.match(text, /100\.\d+\.\d+\.\d+/)
  assert.match(text, /fd[0-9a-f:]+/)
  assert.match(text, 'ada@example.org')
  assert.match(text, /in \d+ (day|hour)s?/)
})

test('escape what devices say of themselves', async (scene) => {
  const evil = '"><script>alert(1)</script>\'&'
  const path = await enrolled(scene, 'laptop', evil)
  const { authorization } = await waiting(scene.registry, 'other', evil)
  for (const page of [
    scene.home,
    path,
    `${path}/remove`,
    authorization.verification_uri_complete,
  ]) {
    const { text, status } = await scene.ada.open(page)
    assert.is(status, 200)
    assert.not.match(text, '<script')
  }
  assert.match((await scene.ada.open(path)).text, '&quot;&gt;&lt;script&gt;alert(1)')
})

test('grant and withdraw a prefix, and say what is wrong with one', async (scene) => {
  const path = await enrolled(scene, 'router')
  const { ada } = scene
  const granted = await ada.submit(`${path}/prefixes`, { prefix: '10.99.0.1/32' })
  assert.match(granted.text, '>10.99.0.1/32<')
  assert.match((await ada.open(scene.home)).text, '10.99.0.1/32')
  for (const prefix of ['10.99.0.1/8', 'nonsense', '<b>', '']) {
    const page = await ada.submit(`${path}/prefixes`, { prefix })
    assert.is(page.status, 422, prefix)
    assert.match(page.text, 'role="alert"')
    assert.not.match(page.text, '<b>')
  }
  const withdrawn = await ada.submit(`${path}/prefixes/withdraw`, { prefix: '10.99.0.1/32' })
  assert.not.match(withdrawn.text, '>10.99.0.1/32<')
})

test('remove a device only after asking', async (scene) => {
  const path = await enrolled(scene, 'laptop')
  const { ada, home } = scene
  assert.match((await ada.open(`${path}/remove`)).text, 'Remove laptop?')
  assert.match((await ada.open(home)).text, '<strong>laptop</strong>')
  const page = await ada.submit(`${path}/remove`, {})
  assert.is(page.url.pathname, home)
  assert.not.match(page.text, '<strong>laptop</strong>')
  assert.is((await ada.open(path)).status, 404)
  assert.is((await ada.submit(`${path}/remove`, {})).status, 404)
})

test('show a registration key once, and enrol by it until it is revoked', async (scene) => {
  const { ada, home, registry } = scene
  const wanted = { description: 'servers', lifetime: '1 day' }
  const made = await ada.submit(`${home}/registration-keys`, wanted)
  const secret = /nrk_[a-z2-7]+/.exec(made.text)?.[0] ?? ''
  assert.match(secret, /^nrk_/)
  const client = clientOf(registry)
  await client.enrol(newApplicant('server'), { registrationKey: secret })
  const { text } = await ada.open(home)
  assert.not.match(text, secret)
  assert.match(text, '<strong>server</strong>')
  const revoke = /action="([^"]+\/revoke)"/.exec(text)?.[1] ?? ''
  assert.is((await ada.submit(revoke, {})).status, 200)
  const after = client.enrol(newApplicant('late'), { registrationKey: secret })
  assert.not.equal(await refusal(after), 'none')
})

test('refuse, on the page of the form, a registration key without end or name', async ({
  ada,
  home,
}) => {
  for (const wanted of [
    { description: '', lifetime: '1 day' },
    { description: 'x', lifetime: '10 years' },
    { description: 'x'.repeat(65), lifetime: '1 day' },
    {},
  ]) {
    const page = await ada.submit(`${home}/registration-keys`, wanted as Record<string, string>)
    assert.is(page.status, 422)
    assert.match(page.text, 'role="alert"')
    assert.match(page.text, '<h2>Registration keys')
  }
})

test('answer errors as a page to people and as problem details to programs', async ({
  registry,
}) => {
  const page = await fetch(`${registry.url}/nowhere`, { headers: { accept: 'text/html' } })
  assert.match(page.headers.get('content-type') ?? '', 'text/html')
  const api = await fetch(`${registry.url}/v1/nowhere`, { headers: { accept: 'text/html' } })
  assert.is(api.headers.get('content-type'), 'application/problem+json; charset=utf-8')
  const { instance, ...problem } = (await api.json()) as Record<string, unknown>
  assert.is(instance, `urn:nexodus:request:${api.headers.get('x-request-id')}`)
  assert.equal(problem, {
    type: 'urn:nexodus:problem:not-found',
    title: 'Not found',
    status: 404,
    detail: 'there is no GET /v1/nowhere',
    code: 'not-found',
  })
})

test('refuse a body that is too large or cannot be read', async ({ registry, ada, home }) => {
  const large = await ada.submit(`${home}/registration-keys`, { description: 'x'.repeat(10_000) })
  assert.is(large.status, 413)
  const post = (body: string) =>
    fetch(`${registry.url}/v1/renewals`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    })
  assert.is((await post(`{"request":"${'x'.repeat(40_000)}"}`)).status, 413)
  const unreadable = await post('{"request":')
  assert.is(unreadable.status, 400)
  assert.match(await unreadable.text(), '"code":"bad-request"')
})

test('carry a policy that allows no script and no frame', async ({ ada, home }) => {
  const { headers } = await ada.fetch(home)
  const policy = headers.get('content-security-policy') ?? ''
  assert.match(policy, "default-src 'none'")
  assert.match(policy, "frame-ancestors 'none'")
  assert.not.match(policy, 'script-src')
  assert.not.match(policy, 'unsafe')
  assert.is(headers.get('cache-control'), 'no-store')
  assert.is(headers.get('x-powered-by'), null)
})

rule('set cookies that no other host and no script can touch, on https', async () => {
  await using registry = await startTestRegistry({ publicUrl: new URL('https://registry.example') })
  const answer = await fetch(`${registry.localUrl}/login`, { redirect: 'manual' })
  const [cookie = ''] = answer.headers.getSetCookie()
  assert.match(cookie, /^__Host-nexodus-sign-in=/)
  for (const attribute of ['Secure', 'HttpOnly', 'SameSite=Lax', 'Path=/']) {
    assert.match(cookie, attribute)
  }
  assert.match(answer.headers.get('location') ?? '', /^https:\/\/registry\.example\/oidc\/auth\?/)
  assert.match(answer.headers.get('strict-transport-security') ?? '', 'max-age=')
})

rule.run()
