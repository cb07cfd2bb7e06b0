// time limit: 240 s
/** Who may ask what: generated from the route table, so that no new route is forgotten. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { z } from 'zod'
import { SCOPES } from '../../../protocol/scopes.ts'
import { ID, type Route } from '../../../registry/api/route.ts'
import { ROUTES } from '../../../registry/api/routes.ts'
import { MEMBER_ROLES } from '../../../registry/roles.ts'
import { type Browser, organizationsOf } from '../../../simulations/lab/login.ts'
import { type Ask, type Json, newToken, withSession, withToken } from '../../support/api.ts'
import { samplesOf } from '../../support/json-sample.ts'
import { type Ids, oneOfEach, oneOfEachOfAda } from '../../support/one-of-each.ts'
import { ADA, startTestRegistry, type TestRegistry } from '../../support/registry.ts'

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

/** Ada's organization with one thing of each kind, of which Carol is a member and in which Bob has no part. */
async function scene(registry: TestRegistry) {
  const browser = await registry.ada()
  const bobs = await registry.bob(browser)
  const { ids, invite } = await oneOfEachOfAda(registry, browser)
  const [other = ''] = await organizationsOf(bobs)
  const ada = withSession(browser)
  const head = async () =>
    JSON.stringify([
      (await ada('GET', `/organizations/${ids['organization']}/audit/head`)).json,
      (await ada('GET', '/user/audit')).json,
    ])
  return { browser, bobs, ada, bob: withSession(bobs), other, ids, invite, head }
}

/** A parameter that `ids` does not know is one that this test forgot. */
function pathOf({ path }: Route<never>, ids: Ids): string {
  return path.replace(/:(\w+)/g, (_, name: string) => {
    const id = ids[name]
    if (id === undefined) throw new Error(`${path}: oneOfEach makes no ${name}`)
    return id
  })
}

/** Ids that name nothing, in that organization. */
function nothingIn(ids: Ids): Ids {
  const none = Object.keys(ids).map((name) => [name, 'aaaaaaaa'])
  return { ...Object.fromEntries(none), organization: String(ids['organization']) }
}

/** What the route's schema allows, with each choice that it leaves, and with the ids of `own` in the fields that
 *  name something. */
function bodiesOf({ body }: Route<never>, own: Ids): readonly (Json | undefined)[] {
  if (body === undefined) return [undefined]
  const schema = schemaOf(body)
  const ids = idFieldsIn(schema).map((field) => [field, own[kindOf(field)]])
  return samplesOf(schema).map((sample) => ({ ...sample, ...Object.fromEntries(ids) }))
}

function schemaOf(schema: z.ZodType): Json {
  return z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' })
}

/** Fields of a body or query that are an ID. */
function idFieldsIn({ properties = {} }: Json): string[] {
  const isId = (field: Json) => field['pattern'] === schemaOf(ID)['pattern']
  return Object.entries(properties as Record<string, Json>).flatMap(([name, field]) =>
    isId(field) ? name : [],
  )
}

/** What the field names. One that is not known here is one that this test forgot. */
function kindOf(field: string): string {
  const kind = KINDS[field]
  if (kind === undefined) throw new Error(`nobody knows what ${field} names`)
  return kind
}
const KINDS: Readonly<Record<string, string>> = {
  ...{ ownerId: 'user', transferTo: 'user', device: 'device' },
}

async function refuses(
  routes: readonly Route<never>[],
  ask: Ask,
  ids: Ids,
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
    const path = pathOf(route, nothingIn(ids))
    const { status } = await only(route.method, path, route.body && {})
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
      const path = pathOf(route, nothingIn(ids))
      const { status, json } = await bob(route.method, path, route.body && {})
      const isRefused = status === 403 && json['code'] === 'role-missing'
      assert.is(isRefused, !access.roles.includes(role), `${role}: ${named(route)}: ${status}`)
    }
  }
})

async function tokenOf(registry: TestRegistry, ada: Ask, scopes: readonly string[]): Promise<Ask> {
  const { token } = await newToken(ada, scopes)
  return withToken(registry.url, token)
}

const OF_IDS = GUARDED.filter(({ path }) => /:(?!organization)/.test(path)).toSorted(
  (a, b) => Number(a.method === 'DELETE') - Number(b.method === 'DELETE'),
)

rule('ids of another organization name nothing in one’s own, whatever else is right', async () => {
  await using registry = await startTestRegistry()
  const { ada, bob, other, ids, invite, head } = await scene(registry)
  const before = await head()
  const user = String((await bob('GET', '/user')).json['id'])
  const bobs = { ...ids, user, organization: other }
  assert.ok(OF_IDS.length >= 12)
  for (const route of OF_IDS) {
    const path = pathOf(route, { ...ids, organization: other })
    for (const body of bodiesOf(route, bobs)) {
      const { status, json } = await bob(route.method, path, body)
      assert.is(status, 404, `${named(route)}: ${JSON.stringify(json)}`)
      assert.is.not(json['code'], 'organization-not-found', named(route))
    }
  }
  assert.is(await head(), before)
  for (const route of OF_IDS) {
    const path = pathOf(route, { ...ids, invitation: await invite() })
    const { status, json } = await ada(route.method, path, bodiesOf(route, ids)[0])
    assert.ok(status < 300, `${named(route)} of one’s own: ${JSON.stringify(json)}`)
  }
})

/** Each field of a body or query that names something, with what goes with it. */
function* namingFields(own: Ids, foreign: Ids) {
  for (const route of OF_MEMBERS) {
    for (const field of idFieldsIn(schemaOf(route.query))) {
      const also = field === 'transferTo' ? '&devices=transfer' : ''
      const ask = (ids: Ids) => ({ query: `?${field}=${ids[kindOf(field)]}${also}` })
      yield { route, field, wrong: ask(foreign), right: ask(own) }
    }
    for (const field of route.body === undefined ? [] : idFieldsIn(schemaOf(route.body))) {
      const [body] = bodiesOf(route, own)
      const wrong = { body: { ...body, [field]: foreign[kindOf(field)] } }
      yield { route, field, wrong, right: { body } }
    }
  }
}

rule('nor do they in a body or a query', async () => {
  await using registry = await startTestRegistry()
  const { browser, bobs, bob, ids, head } = await scene(registry)
  const people = { owner: bobs, member: browser, invited: ADA.email }
  const { ids: own } = await oneOfEach(registry, people)
  const before = await head()
  const user = String((await bob('GET', '/user')).json['id'])
  const fields = [...namingFields({ ...own, user }, ids)]
  assert.ok(fields.length >= 3)
  for (const { route, field, wrong, right } of fields) {
    const ask = ({ query = '', body }: { query?: string; body?: Json | undefined }) =>
      bob(route.method, `${pathOf(route, own)}${query}`, body)
    const what = `${named(route)} ${field}`
    const { status, json } = await ask(wrong)
    assert.is(status, 404, `${what}: ${JSON.stringify(json)}`)
    assert.is.not(json['code'], 'organization-not-found', what)
    assert.ok((await ask(right)).status < 300, `${what} of one’s own`)
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
  ids: Ids,
  headers: Record<string, string>,
): Promise<number> {
  const init = { method: route.method, headers: { 'content-type': 'application/json', ...headers } }
  const answer = await browser.fetch(`/v1${pathOf(route, ids)}`, { ...init, body: '{}' })
  await answer.body?.cancel()
  return answer.status
}

rule.run()
