// time limit: 240 s
/** Who may ask what: generated from the route table, so that no new route is forgotten. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SCOPES } from '../../../protocol/scopes.ts'
import type { Route } from '../../../registry/api/route.ts'
import { ROUTES } from '../../../registry/api/routes.ts'
import { MEMBER_ROLES } from '../../../registry/roles.ts'
import { type Browser, organizationsOf } from '../../../simulations/lab/login.ts'
import { type Ask, type Json, newToken, withSession, withToken } from '../../support/api.ts'
import { clientOf, newApplicant } from '../../support/applicant.ts'
import { startTestRegistry, type TestRegistry } from '../../support/registry.ts'

const rule = suite('matrix of routes, people and organizations')

/** Whole organizations are deleted last. */
const isDeletion = ({ method, path }: Route<never>) =>
  method === 'DELETE' && path === '/organizations/:organization'
const GUARDED = ROUTES.filter(({ access }) => access.kind !== 'anyone').toSorted(
  (a, b) => Number(isDeletion(a)) - Number(isDeletion(b)),
)
const OF_MEMBERS = GUARDED.filter(({ access }) => access.kind === 'member')
const UNSAFE = ROUTES.filter(({ method }) => method !== 'GET')

const named = ({ method, path }: Pick<Route<never>, 'method' | 'path'>) => `${method} ${path}`

/** Ada's organization with one thing of each kind, and Bob, who has no part in it. */
async function scene(registry: TestRegistry) {
  const browser = await registry.ada()
  const bobs = await registry.bob(browser)
  const [organization = ''] = await organizationsOf(browser)
  const [other = ''] = await organizationsOf(bobs)
  const ada = withSession(browser)
  const home = `/organizations/${organization}`
  const made = await ada('POST', `${home}/registration-keys`, {
    description: 'lab',
    singleUse: false,
  })
  await clientOf(registry).enrol(newApplicant('laptop'), {
    registrationKey: String(made.json['key']),
  })
  const [device] = (await ada('GET', `${home}/devices`)).json['devices'] as Json[]
  const { id } = await newToken(ada, ['read'])
  /** Ids of Ada's things, by the names that paths give them. */
  const ids: Record<string, string> = {
    organization,
    device: String(device?.['id']),
    key: String(made.json['id']),
    token: id,
  }
  const head = async () =>
    JSON.stringify([
      (await ada('GET', `${home}/audit/head`)).json,
      (await ada('GET', '/user/audit')).json,
    ])
  return { browser, bobs, ada, bob: withSession(bobs), organization, other, ids, head }
}

function pathOf({ path }: Route<never>, ids: Record<string, string>): string {
  return path.replace(/:(\w+)/g, (_, name: string) => ids[name] ?? 'aaaaaaaa')
}

async function refuses(
  routes: readonly Route<never>[],
  ask: Ask,
  ids: Record<string, string>,
  status: number,
  code: string,
): Promise<void> {
  for (const route of routes) {
    const body = route.body === undefined ? undefined : {}
    const answer = await ask(route.method, pathOf(route, ids), body)
    assert.equal([answer.status, answer.json['code']], [status, code], named(route))
  }
}

rule('there are routes of each kind to go through', () => {
  assert.ok(GUARDED.length > 10 && OF_MEMBERS.length > 7 && UNSAFE.length > 8)
})

rule('nobody gets through a guarded route unknown', async () => {
  await using registry = await startTestRegistry()
  const { ids, head } = await scene(registry)
  const before = await head()
  await refuses(GUARDED, withToken(registry.url), ids, 401, 'not-signed-in')
  await refuses(GUARDED, withToken(registry.url, 'nxt_x'), ids, 401, 'token-refused')
  assert.is(await head(), before)
})

rule(
  'a stranger’s session and mightiest token find no organization, whatever they ask',
  async () => {
    await using registry = await startTestRegistry()
    const { bob, ids, head } = await scene(registry)
    const before = await head()
    const { token } = await newToken(bob, SCOPES)
    for (const ask of [bob, withToken(registry.url, token)]) {
      await refuses(OF_MEMBERS, ask, ids, 404, 'organization-not-found')
      for (const organization of ['a'.repeat(26), 'A'.repeat(26), 'x', '_']) {
        await refuses(OF_MEMBERS, ask, { ...ids, organization }, 404, 'organization-not-found')
      }
    }
    assert.is(await head(), before)
  },
)

rule('a token without a route’s scope gets nowhere on it, and with it alone it does', async () => {
  await using registry = await startTestRegistry({ trustedProxies: ['127.0.0.0/8'] })
  const { ada, ids } = await scene(registry)
  // A user has 100 at most.
  const made = new Map<string, Ask>()
  const tokenFor = async (scopes: readonly string[]): Promise<Ask> => {
    const token = made.get(scopes.join()) ?? (await tokenOf(registry, ada, scopes))
    made.set(scopes.join(), token)
    return token
  }
  for (const route of GUARDED) {
    const { access } = route
    if (access.kind === 'anyone') continue
    const others = SCOPES.filter((scope) => scope !== access.scope)
    await refuses([route], await tokenFor(others), ids, 403, 'scope-missing')
    const only = await tokenFor([access.scope])
    if (route.produces === 'text/event-stream') continue
    const nothing = { ...ids, device: 'aaaaaaaa', key: 'aaaaaaaa', token: 'aaaaaaaa' }
    const { status } = await only(route.method, pathOf(route, nothing), route.body && {})
    assert.ok(status !== 401 && status !== 403, `${named(route)}: ${status}`)
  }
})

rule('a member without a route’s role gets nowhere on it, and with it does', async () => {
  await using registry = await startTestRegistry({ trustedProxies: ['127.0.0.0/8'] })
  const { ada, bob, ids } = await scene(registry)
  const home = `/organizations/${ids['organization']}`
  const { id: user } = (await bob('GET', '/user')).json
  const invited = await ada('POST', `${home}/invitations`, { role: 'member' })
  const secret = String(invited.json['link']).split('/').at(-1)
  assert.is((await bob('POST', '/invitation-links', { secret })).status, 200)
  for (const role of MEMBER_ROLES) {
    assert.is((await ada('PATCH', `${home}/members/${user}`, { role })).status, 204, role)
    for (const route of OF_MEMBERS) {
      const { access, produces } = route
      if (access.kind !== 'member' || produces === 'text/event-stream' || isDeletion(route))
        continue
      const nothing = { organization: String(ids['organization']) }
      const { status, json } = await bob(route.method, pathOf(route, nothing), route.body && {})
      const isRefused = status === 403 && json['code'] === 'role-missing'
      assert.is(isRefused, !access.roles.includes(role), `${role}: ${named(route)}: ${status}`)
    }
  }
})

async function tokenOf(registry: TestRegistry, ada: Ask, scopes: readonly string[]): Promise<Ask> {
  const { token } = await newToken(ada, scopes)
  return withToken(registry.url, token)
}

rule('ids of another organization name nothing in one’s own', async () => {
  await using registry = await startTestRegistry()
  const { bob, other, ids, head } = await scene(registry)
  const before = await head()
  const mixed = { ...ids, organization: other }
  const withIds = GUARDED.filter(({ path }) => /:(?!organization)/.test(path))
  assert.ok(withIds.length >= 4)
  for (const route of withIds) {
    const { status, json } = await bob(route.method, pathOf(route, mixed), route.body && {})
    assert.ok(status === 404 || (route.body && status === 400), `${named(route)}: ${status}`)
    assert.is(json['organization'], undefined)
  }
  assert.is(await head(), before)
})

rule('another site’s page does nothing with a session', async () => {
  await using registry = await startTestRegistry()
  const { browser, ids, head } = await scene(registry)
  const before = await head()
  const forged: Record<string, string>[] = [
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
    { origin: 'https://evil.example' },
    { origin: 'null' },
    {},
  ]
  for (const route of UNSAFE) {
    for (const headers of forged) {
      const status = await sent(browser, route, ids, headers)
      assert.is(status, 403, `${named(route)} ${JSON.stringify(headers)}`)
    }
  }
  assert.is(await head(), before)
})

async function sent(
  browser: Browser,
  route: Route<never>,
  ids: Record<string, string>,
  headers: Record<string, string>,
): Promise<number> {
  const init = { method: route.method, headers: { 'content-type': 'application/json', ...headers } }
  const answer = await browser.fetch(`/v1${pathOf(route, ids)}`, { ...init, body: '{}' })
  await answer.body?.cancel()
  return answer.status
}

rule.run()
