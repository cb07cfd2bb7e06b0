// time limit: 300 s
/** Who gets which page: generated from the routes that are mounted, so that no new page is forgotten. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Browser, openBrowser, organizationsOf } from '../../../simulations/lab/login.ts'
import { type Json, withSession } from '../../support/api.ts'
import { type MountedRoute, mountedRoutes } from '../../support/mounted-routes.ts'
import { type Ids, oneOfEachOfAda } from '../../support/one-of-each.ts'
import { startTestRegistry, type TestRegistry } from '../../support/registry.ts'

const rule = suite('matrix of pages, people and organizations')

/** For whoever asks: how people get in, what pages are made of, and what watches the registry. */
const OPEN: ReadonlySet<string> = new Set([
  ...['GET /login', 'GET /auth/callback', 'POST /logout', 'GET /login/:uid', 'POST /login/:uid'],
  ...['GET /setup/:token', 'POST /setup/:token', 'GET /style.css', 'GET /icon.svg'],
  ...['GET /network.js', 'GET /healthz', 'GET /readyz'],
])

/** What a form may ask for, enough for each that is sent to something with an id. */
const FORM: Readonly<Record<string, string>> = {
  ...{ description: 'x', decision: 'deny', role: 'member', devices: 'keep', lifetime: '1 day' },
  ...{ kind: 'role', value: 'relay', roles: 'relay', groups: 'x', key: 'x', email: '' },
  ...{ prefix: '10.99.0.0/24', membershipLifetime: '0', reauthenticateAfter: '0' },
}
const POLICY_FORM = { text: '', revision: '0', do: 'save' }

const named = ({ method, path }: MountedRoute) => `${method} ${path}`
const isOfOrganization = ({ path }: MountedRoute) => path.startsWith('/organizations/:organization')
/** Asked last: what follows finds nothing. */
const isEnd = ({ method, path }: MountedRoute) =>
  Number(method === 'POST' && /\/(remove|revoke|delete)$/.test(path))

async function pagesOf(registry: TestRegistry) {
  const mounted = await mountedRoutes(registry)
  const pages = mounted.filter(({ path }) => !path.startsWith('/v1/'))
  const guarded = pages.filter((route) => !OPEN.has(named(route)))
  return { pages, guarded: guarded.toSorted((a, b) => isEnd(a) - isEnd(b)) }
}

/** Ada's organization with one thing of each kind, and Bob, who has no part in it. */
async function scene(registry: TestRegistry) {
  const ada = await registry.ada()
  const bob = await registry.bob(ada)
  const { ids: made, invite } = await oneOfEachOfAda(registry, ada)
  const [other = ''] = await organizationsOf(bob)
  const ids: Ids = {
    ...{ ...made, id: String(made['invitation']), answer: 'accept' },
    ...{ uid: 'aaaaaaaa', secret: 'aaaaaaaa' },
  }
  const home = `/organizations/${made['organization']}`
  const read = async (path: string): Promise<Json> => (await withSession(ada)('GET', path)).json
  const head = async () =>
    JSON.stringify([await read(`${home}/audit/head`), await read('/user/audit')])
  const name = String((await read(home))['name'])
  return { ...(await pagesOf(registry)), ada, bob, other, ids, invite, head, name }
}

/** A parameter that `ids` does not know is one that this test forgot. */
function pathOf({ path }: MountedRoute, ids: Ids): string {
  return path.replace(/:(\w+)/g, (_, name: string) => {
    const id = ids[name]
    if (id === undefined) throw new Error(`${path}: oneOfEach makes no ${name}`)
    return id
  })
}

interface Answer {
  readonly status: number
  readonly text: string
  readonly location: string | null
}

/** As a page of the registry asks, unless `headers` say otherwise; no redirect is followed. */
async function ask(
  browser: Browser,
  route: MountedRoute,
  ids: Ids,
  form: Readonly<Record<string, string>> = {},
  headers: Readonly<Record<string, string>> = { origin: browser.baseUrl },
): Promise<Answer> {
  const fields = route.path.endsWith('/policy') ? POLICY_FORM : { ...FORM, ...form }
  const sent = { headers, body: new URLSearchParams(fields) }
  const answer = await browser.fetch(pathOf(route, ids), {
    method: route.method,
    ...(route.method !== 'GET' && sent),
  })
  const { status } = answer
  return { status, text: await answer.text(), location: answer.headers.get('location') }
}

rule('each page is of a kind, and each kind has pages', async () => {
  await using registry = await startTestRegistry()
  const { pages, guarded } = await pagesOf(registry)
  const known = new Set(pages.map(named))
  assert.equal(
    [...OPEN].filter((each) => !known.has(each)),
    [],
  )
  assert.ok(guarded.filter(isOfOrganization).length >= 25)
  assert.ok(guarded.filter((route) => !isOfOrganization(route)).length >= 10)
  assert.ok(pages.every(({ method }) => method === 'GET' || method === 'POST'))
})

rule('who is signed out is sent to sign in and back, and does nothing', async () => {
  await using registry = await startTestRegistry()
  const { guarded, ids, head } = await scene(registry)
  const before = await head()
  const stranger = openBrowser(registry.url)
  const stale = openBrowser(registry.url)
  stale.plant('nexodus-session', 'A'.repeat(43))
  for (const browser of [stranger, stale]) {
    for (const route of guarded) {
      const { status, location } = await ask(browser, route, ids)
      const path = pathOf(route, ids)
      const login = path === '/' ? '/login' : `/login?returnTo=${encodeURIComponent(path)}`
      const wanted = route.method === 'GET' ? [303, login] : [401, null]
      assert.equal([status, location], wanted, named(route))
    }
  }
  assert.is(await head(), before)
})

rule('a stranger finds no organization on any page, as if there were none', async () => {
  await using registry = await startTestRegistry()
  const { guarded, bob, ids, head, name } = await scene(registry)
  const before = await head()
  const nowhere = { ...ids, organization: 'a'.repeat(26) }
  for (const route of guarded.filter(isOfOrganization)) {
    const answer = await ask(bob, route, ids, { name })
    assert.is(answer.status, 404, named(route))
    assert.not.match(answer.text, name)
    assert.equal(await ask(bob, route, nowhere, { name }), answer, named(route))
    assert.is((await ask(bob, route, { ...ids, organization: 'x' }, { name })).status, 404)
  }
  assert.is(await head(), before)
})

/** Says so on the page where the form is: who is named may have left meanwhile. */
const TOLD_ON_PAGE = 'POST /organizations/:organization/members/:user/role'

rule('ids of another organization name nothing on the pages of one’s own', async () => {
  await using registry = await startTestRegistry()
  const { guarded, ada, bob, other, ids, invite, head } = await scene(registry)
  const before = await head()
  const ofIds = guarded.filter(({ path }) => /:(?!organization|secret)/.test(path))
  assert.ok(ofIds.length >= 18)
  for (const route of ofIds) {
    const form = { name: 'box', owner: String(ids['user']) }
    const { status, text } = await ask(bob, route, { ...ids, organization: other }, form)
    assert.is(status, named(route) === TOLD_ON_PAGE ? 422 : 404, named(route))
    assert.match(text, /no such/i, named(route))
  }
  assert.is(await head(), before)
  for (const route of ofIds) {
    const invitation = await invite()
    const form = { name: 'box', owner: String(ids['user']) }
    const { status, text } = await ask(ada, route, { ...ids, invitation, id: invitation }, form)
    assert.is(status, route.method === 'GET' ? 200 : 303, `${named(route)} of one’s own: ${text}`)
  }
})

rule('a form from another site does nothing, whoever’s page it is for', async () => {
  await using registry = await startTestRegistry()
  const { pages, ada, ids, head, name } = await scene(registry)
  const before = await head()
  const forged: Record<string, string>[] = [
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
    { 'sec-fetch-site': 'cross-site', origin: registry.url },
    { origin: 'https://evil.example' },
    { origin: 'null' },
    {},
  ]
  for (const route of pages.filter(({ method }) => method === 'POST')) {
    for (const headers of forged) {
      const { status } = await ask(ada, route, ids, { name }, headers)
      assert.is(status, 403, `${named(route)} ${JSON.stringify(headers)}`)
    }
  }
  assert.is(await head(), before)
  assert.is((await ada.open('/account')).url.pathname, '/account')
})

rule.run()
