// time limit: 240 s
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { IssuerConfig } from '../../../registry/config.ts'
import { issuersOf } from '../../../registry/issuer-options.ts'
import {
  type Browser,
  type BrowserPage,
  messageOf,
  openBrowser,
} from '../../../simulations/lab/login.ts'
import { ID_TOKEN_LIFETIME } from '../../support/oidc-issuer.ts'
import { type TestRegistry, temporaryDirectory } from '../../support/registry.ts'
import { withIssuers } from '../../support/several-issuers.ts'

const rule = suite('sign-in with several OpenID providers')

/** Follows the button of a provider, where there is a choice. */
async function signIn(browser: Browser, subject: string, label?: string): Promise<BrowserPage> {
  const choice = await browser.open('/login?returnTo=%2Fdevice')
  const link = new RegExp(`href="([^"]+)">Sign in with ${label}<`).exec(choice.text)?.[1]
  const form = link === undefined ? choice : await browser.open(link.replaceAll('&amp;', '&'))
  const action = /action="(\/interaction\/[\w-]+)"/.exec(form.text)?.[1]
  if (action === undefined) throw new Error(messageOf(form))
  return browser.submit(new URL(action, form.url).href, { subject })
}

async function whoIs(registry: TestRegistry, browser: Browser): Promise<number> {
  return (await browser.fetch(`${registry.url}/v1/organizations`)).status
}

rule('offers a button for each, and tells equal subjects of two providers apart', () =>
  withIssuers(
    [{ rules: { label: 'Staff' } }, { rules: { label: 'Guests <b>' } }],
    async (registry) => {
      const [staff, guest] = [openBrowser(registry.url), openBrowser(registry.url)]
      const page = await staff.open('/login')
      assert.match(page.text, 'Sign in with Staff')
      assert.match(page.text, 'Sign in with Guests &lt;b&gt;')
      assert.is((await signIn(staff, 'grace', 'Staff')).url.pathname, '/device')
      await signIn(guest, 'grace', 'Guests &lt;b&gt;')
      const of = async (browser: Browser) =>
        (
          (await (await browser.fetch('/v1/organizations')).json()) as {
            organizations: { id: string }[]
          }
        ).organizations
      assert.not.equal(await of(staff), await of(guest))
    },
  ),
)

rule('signs out at the provider that signed in', () =>
  withIssuers([{ rules: { label: 'A' } }, { rules: { label: 'B' } }], async (registry, urls) => {
    const browser = openBrowser(registry.url)
    await signIn(browser, 'grace', 'B')
    const out = await browser.submit('/logout', {})
    assert.match(out.text, `href="${urls[1]}/session/end?`)
    assert.is(await whoIs(registry, browser), 401)
  }),
)

rule(
  'shows the choice again for a provider that there is not, and never an address of others',
  () =>
    withIssuers([{ rules: { label: 'A' } }, { rules: { label: 'B' } }], async (registry) => {
      const browser = openBrowser(registry.url)
      for (const provider of ['', 'nobody', 'https://evil.example', '__proto__']) {
        const query = new URLSearchParams({ provider, returnTo: 'https://evil.example/' })
        const page = await browser.open(`/login?${query}`)
        assert.is(page.status, 200)
        assert.not.match(page.text, 'evil.example')
        assert.match(page.text, 'returnTo=%2F')
      }
    }),
)

rule('lets in by domain and by group, says why not, and leaves no session behind', () => {
  const rules = { emailDomains: ['issuer.example'], allowedGroups: ['dev'] }
  return withIssuers([{ rules }], async (registry) => {
    assert.is((await signIn(openBrowser(registry.url), 'grace.dev')).url.pathname, '/device')
    for (const [subject, why] of [
      ['unverified.dev', 'yours is not verified'],
      ['grace.ops', 'only members of dev may'],
    ] as const) {
      const browser = openBrowser(registry.url)
      const page = await signIn(browser, subject)
      assert.is(page.status, 403)
      assert.match(page.text, why)
      assert.is(await whoIs(registry, browser), 401)
    }
  })
})

rule('asks the userinfo endpoint where the ID token says only who it is', () =>
  withIssuers(
    [{ rules: { allowedGroups: ['dev'] }, habits: { terse: true } }],
    async (registry) => {
      const browser = openBrowser(registry.url)
      const page = await signIn(browser, 'grace.dev')
      assert.is(page.url.pathname, '/device', messageOf(page))
      assert.match(page.text, 'grace.dev@issuer.example')
      assert.is((await signIn(openBrowser(registry.url), 'grace')).status, 403)
    },
  ),
)

rule(
  'tells a provider that fails from one that refuses this registry, or this sign-in',
  async () => {
    const [token, userinfo] = ['/token', '/me']
    for (const [fails, status, why] of [
      [
        { path: userinfo, status: 401, challenge: 'Bearer error="invalid_token"' },
        400,
        'invalid_token',
      ],
      [{ path: token, status: 401, challenge: 'Basic realm="x"' }, 502, 'refuses this registry'],
      [
        { path: token, status: 401, challenge: 'Basic realm="x", error="unauthorized_client"' },
        ...([502, 'refuses this registry ("unauthorized_client")'] as const),
      ],
      [{ path: token, status: 503 }, 502, 'cannot be reached'],
      [{ path: userinfo, status: 500 }, 502, 'cannot be reached'],
      [{ path: token, status: 404 }, 400, 'does not belong to this sign-in'],
    ] as const) {
      await withIssuers([{ habits: { terse: true, fails } }], async (registry) => {
        const browser = openBrowser(registry.url)
        const page = await signIn(browser, 'grace')
        const about = `${JSON.stringify(fails)}: ${messageOf(page)}`
        assert.is(page.status, status, about)
        assert.ok(page.text.replaceAll('&quot;', '"').includes(why), about)
        assert.is(await whoIs(registry, browser), 401)
      })
    }
  },
)

rule('bears a provider’s clock that is off by less than a minute, and no more', async () => {
  for (const [ahead, status] of [
    [30, 200],
    [-ID_TOKEN_LIFETIME - 30, 200],
    [-ID_TOKEN_LIFETIME - 90, 400],
  ] as const) {
    await withIssuers([{ habits: { ahead } }], async (registry) => {
      const page = await signIn(openBrowser(registry.url), 'grace')
      assert.is(page.status, status, `${ahead} s: ${messageOf(page)}`)
    })
  }
})

rule('a file of providers is read, and what is wrong in it is named', async () => {
  const path = join(await temporaryDirectory(), 'oidc.json')
  const options = { oidcScopes: 'openid email', oidcAllowDomains: [], oidcConfig: path }
  const read = async (content: unknown) => {
    await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content))
    try {
      return issuersOf(options)
    } catch (error) {
      return (error as Error).message
    }
  }
  const one = { issuer: 'https://id.example', clientId: 'nexodus' }
  const full = { ...one, label: 'Staff', emailDomains: ['Example.org'], groups: { dev: 'eng' } }
  const [issuer] = (await read({ issuers: [full] })) as readonly IssuerConfig[]
  assert.equal(
    { ...issuer, url: issuer?.url.href },
    {
      ...{ url: 'https://id.example/', clientId: 'nexodus', scopes: 'openid email' },
      ...{ clientAuthentication: 'none', label: 'Staff', emailDomains: ['example.org'] },
      groups: { dev: 'eng' },
    },
  )
  const wrong: [unknown, RegExp][] = [
    ['{', /oidc\.json: .*JSON/],
    [{}, /issuers: /],
    [{ issuers: [] }, /issuers: /],
    [{ issuers: [{ ...one, issuer: 'id.example' }] }, /issuers\.0\.issuer: /],
    [{ issuers: [{ ...one, issuer: 'http://id.example' }] }, /issuers\.0 .*must be https/],
    [{ issuers: [one, { issuer: 'https://x.example' }] }, /issuers\.1\.clientId: /],
    [{ issuers: [one, one] }, /is there twice/],
    [{ issuers: [{ ...one, emailDomains: ['@example.org'] }] }, /emailDomains\.0: is no domain/],
    [{ issuers: [{ ...one, typo: 1 }] }, /typo/],
    [
      { issuers: [{ ...one, clientAuthentication: 'client_secret_post' }] },
      /needs a client secret file/,
    ],
  ]
  for (const [content, why] of wrong) assert.match(String(await read(content)), why)
  const gone = { ...options, oidcConfig: join(path, 'none') }
  assert.throws(() => issuersOf(gone), /cannot be read/)
})

rule.run()
