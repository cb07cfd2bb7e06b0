// time limit: 240 s
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { openEnvelope } from '../../../protocol/envelope.ts'
import { parseOrganizationId } from '../../../protocol/keys.ts'
import type { IssuerConfig } from '../../../registry/config.ts'
import {
  type Browser,
  type BrowserPage,
  messageOf,
  openBrowser,
  organizationsOf,
} from '../../../simulations/lab/login.ts'
import { newToken, withSession, withToken } from '../../support/api.ts'
import { clientOf, newApplicant } from '../../support/applicant.ts'
import { ISSUER_CLIENT } from '../../support/oidc-issuer.ts'
import {
  freePort,
  startTestRegistry,
  type TestRegistry,
  temporaryDirectory,
} from '../../support/registry.ts'

const rule = suite('sign-in with an OpenID provider of one’s own')

type Method = IssuerConfig['clientAuthentication']

interface Site {
  readonly registry: TestRegistry
  readonly issuer: string
  startIssuer(): Promise<ChildProcess>
}

async function withSite(method: Method, body: (site: Site) => Promise<void>): Promise<void> {
  const issuerPort = await freePort()
  const issuer = `http://127.0.0.1:${issuerPort}`
  const port = await freePort()
  const directory = await temporaryDirectory()
  const clientSecretFile = join(directory, 'secret')
  await writeFile(clientSecretFile, `${ISSUER_CLIENT.secret}\n`)
  await using registry = await startTestRegistry({
    stateDirectory: join(directory, 'state'),
    listen: { host: '127.0.0.1', port },
    issuers: [
      {
        url: new URL(issuer),
        clientId: ISSUER_CLIENT.id,
        clientSecretFile,
        clientAuthentication: method,
        scopes: 'openid email',
      },
    ],
  })
  const started: ChildProcess[] = []
  try {
    const startIssuer = async () => {
      const script = fileURLToPath(new URL('../../support/oidc-issuer.ts', import.meta.url))
      const redirect = `${registry.url}/auth/callback`
      const child = spawn(process.execPath, [script, String(issuerPort), redirect, method], {
        stdio: ['ignore', 'pipe', 'ignore'],
      })
      started.push(child)
      await once(child.stdout, 'data')
      return child
    }
    await body({ registry, issuer, startIssuer })
  } finally {
    for (const child of started) child.kill('SIGKILL')
  }
}

async function signInAs(browser: Browser, subject: string): Promise<BrowserPage> {
  const form = await browser.open('/login')
  const action = /action="(\/interaction\/[\w-]+)"/.exec(form.text)?.[1]
  if (action === undefined) return form
  return browser.submit(new URL(action, form.url).href, { subject })
}

for (const method of ['client_secret_post', 'client_secret_basic'] as const) {
  rule(`signs in and out with ${method}`, () =>
    withSite(method, async ({ registry, issuer, startIssuer }) => {
      await startIssuer()
      assert.is(registry.registry.setupUrl, undefined)
      const grace = openBrowser(registry.url)
      const page = await signInAs(grace, 'grace')
      assert.is(page.url.href, `${registry.url}/`, messageOf(page))
      assert.match(page.text, 'grace@issuer.example')
      assert.is((await organizationsOf(grace)).length, 1)
      const out = await grace.submit('/logout', {})
      assert.match(out.text, `href="${issuer}/session/end?`)
    }),
  )
}

rule('knows a user again by issuer and subject, and no other user', () =>
  withSite('client_secret_post', async ({ registry, startIssuer }) => {
    await startIssuer()
    const of = async (subject: string) => {
      const browser = openBrowser(registry.url)
      await signInAs(browser, subject)
      return organizationsOf(browser)
    }
    const grace = await of('grace')
    assert.equal(await of('grace'), grace)
    assert.not.equal(await of('edsger'), grace)
  }),
)

rule('what a user had who was deleted does not come back with them', () =>
  withSite('client_secret_post', async ({ registry, startIssuer }) => {
    await startIssuer()
    const grace = openBrowser(registry.url)
    await signInAs(grace, 'grace')
    assert.match((await grace.open('/account')).text, 'who signs in again begins anew')
    const stranger = withToken(registry.url)
    const wanted = { client: 'nexctl', scopes: ['read'], lifetime: 3600 }
    const { json } = await stranger('POST', '/login-authorizations', wanted)
    await grace.submit('/device/login', {
      ...{ user_code: String(json['user_code']), decision: 'approve' },
    })
    const confirm = encodeURIComponent('grace@issuer.example')
    assert.is((await withSession(grace)('DELETE', `/user?confirm=${confirm}`)).status, 204)
    const polled = await stranger('POST', '/token', {
      grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
      device_code: json['device_code'],
    })
    const late = withToken(registry.url, String(polled.json['access_token']))
    assert.is((await late('GET', '/user')).status, 401)
    registry.clock.advance(2)
    const again = openBrowser(registry.url)
    await signInAs(again, 'grace')
    assert.is((await withSession(again)('GET', '/user')).status, 200)
    assert.is((await late('GET', '/user')).status, 401)
    assert.is((await withSession(grace)('GET', '/user')).status, 401)
    const { token } = await newToken(withSession(again), ['read'])
    assert.is((await withToken(registry.url, token)('GET', '/user')).status, 200)
  }),
)

rule('renewals go on while the provider is down', () =>
  withSite('client_secret_post', async ({ registry, startIssuer }) => {
    const issuer = await startIssuer()
    const grace = openBrowser(registry.url)
    await signInAs(grace, 'grace')
    const organization = parseOrganizationId((await organizationsOf(grace))[0] ?? '')
    const keys = `/organizations/${organization}/registration-keys`
    const made = await withSession(grace)('POST', keys, { description: 'laptops' })
    const [laptop, client] = [newApplicant('laptop'), clientOf(registry)]
    await client.enrol(laptop, { registrationKey: String(made.json['key']) })
    issuer.kill('SIGKILL')
    await once(issuer, 'exit')
    // Nobody signs in meanwhile.
    const attempt = signInAs(openBrowser(registry.url), 'edsger')
    assert.is(
      await attempt.then(
        ({ status }) => status,
        () => 502,
      ),
      502,
    )
    for (const _ of [1, 2]) {
      registry.clock.advance(6 * 3600)
      const { envelopes } = await client.renew(laptop, organization)
      const issued = envelopes.flatMap((bytes) => {
        const each = openEnvelope(bytes)
        return each.kind === 'membership-certificate' ? [each.body.notBefore] : []
      })
      assert.ok(Math.max(...issued) > registry.clock.now() - 3600, 'a new certificate')
    }
  }),
)

rule('serves no provider, password or set-up page of its own', () =>
  withSite('client_secret_post', async ({ registry }) => {
    const browser = openBrowser(registry.url)
    for (const path of [
      '/oidc/.well-known/openid-configuration',
      '/setup/x',
      '/login/x',
      '/users',
    ]) {
      assert.is((await browser.fetch(path)).status, 404, path)
    }
  }),
)

rule('ends the sessions that another provider vouched for', async () => {
  const stateDirectory = await temporaryDirectory()
  const embedded = await startTestRegistry({ stateDirectory })
  const ada = await embedded.ada()
  await embedded[Symbol.asyncDispose]()
  const url = new URL('https://id.example')
  const issuer = { url, clientId: 'x', clientAuthentication: 'none', scopes: 'openid' } as const
  await using external = await startTestRegistry({ stateDirectory, issuers: [issuer] })
  const browser = openBrowser(external.url)
  browser.plant('nexodus-session', ada.cookie('nexodus-session') ?? '')
  assert.is((await browser.fetch('/')).status, 303)
  assert.is((await browser.fetch('/v1/organizations')).status, 401)
})

rule('says when the provider cannot be reached, and works as soon as it can', () =>
  withSite('client_secret_post', async ({ registry, startIssuer }) => {
    const browser = openBrowser(registry.url)
    const page = await signInAs(browser, 'grace')
    assert.is(page.status, 502)
    assert.match(page.text, 'cannot be reached')
    await startIssuer()
    assert.is((await signInAs(browser, 'grace')).url.pathname, '/')
  }),
)

rule('says what the provider said when it refuses', () =>
  withSite('client_secret_post', async ({ registry, startIssuer }) => {
    await startIssuer()
    const page = await signInAs(openBrowser(registry.url), '')
    assert.is(page.status, 400)
    assert.match(page.text, 'access_denied')
  }),
)

rule.run()
