// time limit: 300 s
/** A second, independent OpenID provider: glewlwyd, alone and beside oidc-provider. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { inspect } from 'node:util'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { IssuerConfig } from '../../../registry/config.ts'
import {
  approveDevice,
  type Browser,
  type BrowserPage,
  messageOf,
  openBrowser,
} from '../../../simulations/lab/login.ts'
import { withSession } from '../../support/api.ts'
import { clientOf, newApplicant } from '../../support/applicant.ts'
import {
  GLEWLWYD_CLIENT,
  type Person,
  startGlewlwyd,
  startImpostor,
} from '../../support/glewlwyd.ts'
import { needs } from '../../support/needs.ts'
import {
  freePort,
  startTestRegistry,
  type TestRegistry,
  temporaryDirectory,
} from '../../support/registry.ts'

needs('glewlwyd')

const rule = suite('sign-in with glewlwyd')

const GRACE: Person = {
  username: 'grace',
  email: 'Grace@navy.example',
  isVerified: true,
  groups: ['dev', 'ops'],
}
const ALAN: Person = {
  username: 'alan',
  email: 'alan@navy.example',
  isVerified: false,
  groups: ['dev'],
}

/** Its one client's redirect URI has this port: each test's registry takes it in turn. */
const port = await freePort()
const redirectUri = `http://127.0.0.1:${port}/auth/callback`
const glewlwyd = await startGlewlwyd(redirectUri)
for (const person of [GRACE, ALAN]) await glewlwyd.add(person)

async function withRegistry(
  rules: Partial<IssuerConfig>,
  body: (registry: TestRegistry) => Promise<void>,
  others: readonly IssuerConfig[] = [],
): Promise<void> {
  const navy = await issuerAt(glewlwyd.issuer, { label: 'Navy', ...rules })
  const listen = { host: '127.0.0.1', port }
  await using registry = await startTestRegistry({ listen, issuers: [navy, ...others] })
  await body(registry)
}

async function issuerAt(url: string, rules: Partial<IssuerConfig>): Promise<IssuerConfig> {
  return {
    url: new URL(url),
    clientId: GLEWLWYD_CLIENT.id,
    clientSecretFile: await fileWith(GLEWLWYD_CLIENT.secret),
    clientAuthentication: 'client_secret_post',
    scopes: 'openid email groups',
    ...rules,
  }
}

async function signIn(browser: Browser, username: string): Promise<BrowserPage> {
  return glewlwyd.signIn(browser, await browser.open(await addressOf(browser, 'Navy')), username)
}

async function fileWith(secret: string): Promise<string> {
  const path = join(await temporaryDirectory(), 'secret')
  await writeFile(path, `${secret}\n`)
  return path
}

/** Of the button of a provider, or of sign-in where there is one only. */
async function addressOf(browser: Browser, label: string): Promise<string> {
  const start = '/login?returnTo=%2Fdevice'
  const response = await browser.fetch(start)
  const link = new RegExp(`href="([^"]+)">Sign in with ${label}<`).exec(await response.text())?.[1]
  return link?.replaceAll('&amp;', '&') ?? start
}

/** Begins a sign-in; what the browser is told to ask the provider. */
async function begin(browser: Browser, label: string): Promise<URL> {
  const response = await browser.fetch(await addressOf(browser, label))
  return new URL(response.headers.get('location') ?? '')
}

/** Signs in at glewlwyd as asked; the answer that it gives the browser to take to the registry. */
async function answerTo(asked: URL, username: string): Promise<URL> {
  const elsewhere = openBrowser(asked.origin)
  const form = await elsewhere.open(asked.href)
  return glewlwyd.answer(elsewhere, form, username)
}

async function organizationOf(browser: Browser): Promise<string> {
  const { json } = await withSession(browser)('GET', '/organizations')
  const [organization] = json['organizations'] as { id: string }[]
  return organization?.id ?? ''
}

async function assertRefused(
  browser: Browser,
  page: BrowserPage,
  status: number,
  why: string | RegExp,
): Promise<void> {
  assert.is(page.status, status, messageOf(page))
  assert.match(messageOf(page).replaceAll('&quot;', '"'), why)
  assert.is((await browser.fetch('/v1/organizations')).status, 401)
}

const children: ChildProcess[] = []
rule.after.each(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
})

/** oidc-provider, in a process of its own. */
async function startStaff(): Promise<IssuerConfig> {
  const at = await freePort()
  const script = fileURLToPath(new URL('../../support/oidc-issuer.ts', import.meta.url))
  const args = [script, String(at), redirectUri, 'client_secret_post']
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] })
  children.push(child)
  await once(child.stdout, 'data')
  return issuerAt(`http://127.0.0.1:${at}`, { label: 'Staff' })
}

async function signInAtStaff(browser: Browser, subject: string): Promise<BrowserPage> {
  const form = await browser.open(await addressOf(browser, 'Staff'))
  const action = /action="(\/interaction\/[\w-]+)"/.exec(form.text)?.[1]
  if (action === undefined) throw new Error(messageOf(form))
  return browser.submit(new URL(action, form.url).href, { subject })
}

for (const clientAuthentication of ['client_secret_post', 'client_secret_basic'] as const) {
  rule(`lets a person in with ${clientAuthentication}, by PKCE, state and nonce`, () =>
    withRegistry({ clientAuthentication }, async (registry) => {
      const grace = openBrowser(registry.url)
      const { searchParams } = await begin(grace, 'Navy')
      assert.is(searchParams.get('code_challenge_method'), 'S256')
      for (const each of ['code_challenge', 'state', 'nonce']) {
        assert.match(searchParams.get(each) ?? '', /^[\w-]{43}$/, each)
      }
      const page = await signIn(grace, 'grace')
      assert.is(page.url.href, `${registry.url}/device`, messageOf(page))
      assert.match(page.text, GRACE.email)
      const again = openBrowser(registry.url)
      await signIn(again, 'grace')
      assert.is(await organizationOf(again), await organizationOf(grace))
    }),
  )
}

rule('lets in by verified e-mail domain, and by group', async () => {
  const rules = { emailDomains: ['navy.example'], allowedGroups: ['ops', 'dev'] }
  await withRegistry(rules, async (registry) => {
    assert.is((await signIn(openBrowser(registry.url), 'grace')).url.pathname, '/device')
    const alan = openBrowser(registry.url)
    await assertRefused(alan, await signIn(alan, 'alan'), 403, 'yours is not verified')
  })
  await withRegistry({ allowedGroups: ['ops'] }, async (registry) => {
    const alan = openBrowser(registry.url)
    await assertRefused(alan, await signIn(alan, 'alan'), 403, 'only members of ops may')
  })
})

rule('gives the devices of a person the security groups that their groups there stand for', () =>
  withRegistry(
    { groups: { dev: 'engineering', ops: 'on-call', root: 'admins' } },
    async (registry) => {
      const grace = openBrowser(registry.url)
      await signIn(grace, 'grace')
      const client = clientOf(registry)
      const laptop = newApplicant('laptop')
      const { device_code, verification_uri_complete } = await client.authorize(laptop)
      await approveDevice(grace, verification_uri_complete)
      await client.enrol(laptop, { token: await client.token(device_code) })
      const path = `/organizations/${await organizationOf(grace)}/devices`
      const [device] = (await withSession(grace)('GET', path)).json['devices'] as {
        owner: string
        claimedGroups: string[]
      }[]
      assert.equal(
        [device?.owner, device?.claimedGroups],
        [GRACE.email, ['engineering', 'on-call']],
      )
    },
  ),
)

rule('says that the provider refuses the registry, where the client secret is wrong', async () => {
  const clientSecretFile = await fileWith('not the secret')
  for (const clientAuthentication of ['client_secret_post', 'client_secret_basic'] as const) {
    await withRegistry({ clientSecretFile, clientAuthentication }, async (registry) => {
      const grace = openBrowser(registry.url)
      await assertRefused(
        grace,
        await signIn(grace, 'grace'),
        502,
        /refuses this registry \("\w+"\)/,
      )
      assert.not.match(JSON.stringify(registry.logged), 'not the secret')
    })
  }
})

rule('takes no answer twice, and none that another browser asked for', () =>
  withRegistry({}, async (registry) => {
    const grace = openBrowser(registry.url)
    const answer = await answerTo(await begin(grace, 'Navy'), 'grace')
    const thief = openBrowser(registry.url)
    await assertRefused(thief, await thief.open(answer.href), 400, 'not begun in this browser')
    assert.is((await grace.open(answer.href)).url.pathname, '/device')
    await assertRefused(thief, await thief.open(answer.href), 400, 'not begun in this browser')
    // The code of the victim's sign-in with the state of one's own: PKCE tells.
    const victims = await answerTo(await begin(openBrowser(registry.url), 'Navy'), 'grace')
    const own = (await begin(thief, 'Navy')).searchParams.get('state') ?? ''
    victims.searchParams.set('state', own)
    await assertRefused(thief, await thief.open(victims.href), 400, 'it said "invalid_code"')
  }),
)

rule('stands beside oidc-provider, each with users of its own, also under equal names', async () =>
  withRegistry(
    {},
    async (registry) => {
      const [navy, other] = [openBrowser(registry.url), openBrowser(registry.url)]
      assert.match((await signIn(navy, 'grace')).text, GRACE.email)
      assert.match((await signInAtStaff(other, 'grace')).text, 'grace@issuer.example')
      assert.not.equal(await organizationOf(navy), await organizationOf(other))
    },
    [await startStaff()],
  ),
)

rule('an answer of one provider is none of the other', async () =>
  withRegistry(
    {},
    async (registry) => {
      const grace = openBrowser(registry.url)
      const answer = await answerTo(await begin(openBrowser(registry.url), 'Navy'), 'grace')
      const state = (await begin(grace, 'Staff')).searchParams.get('state') ?? ''
      answer.searchParams.set('state', state)
      assert.is(answer.searchParams.get('iss'), glewlwyd.issuer)
      await assertRefused(grace, await grace.open(answer.href), 400, 'does not belong')
    },
    [await startStaff()],
  ),
)

rule('an ID token of one provider is none of another, with every signature right', async () => {
  await using impostor = await startImpostor(glewlwyd)
  const others = [await issuerAt(impostor.issuer, { label: 'Impostor' })]
  const body = async (registry: TestRegistry) => {
    const grace = openBrowser(registry.url)
    const answer = await answerTo(await begin(grace, 'Impostor'), 'grace')
    assert.is(answer.searchParams.get('iss'), glewlwyd.issuer)
    answer.searchParams.delete('iss')
    await assertRefused(grace, await grace.open(answer.href), 400, 'does not belong')
    const failed = registry.logged.find(({ event }) => event === 'identity.sign-in-failed')
    assert.match(inspect(failed, { depth: 9 }), /unexpected JWT "iss"/)
  }
  await withRegistry({}, body, others)
})

rule('once in, needs the provider no more: not for pages, nor to sign out', () =>
  withRegistry({}, async (registry) => {
    const grace = openBrowser(registry.url)
    await signIn(grace, 'grace')
    const waiting = openBrowser(registry.url)
    const answer = await answerTo(await begin(waiting, 'Navy'), 'grace')
    await glewlwyd[Symbol.asyncDispose]()
    await assertRefused(waiting, await waiting.open(answer.href), 502, 'cannot be reached')
    assert.is((await grace.open('/device')).status, 200)
    assert.match((await grace.submit('/logout', {})).text, 'Signed out')
    assert.is((await grace.fetch('/v1/organizations')).status, 401)
  }),
)

rule.run()
