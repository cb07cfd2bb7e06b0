// time limit: 300 s
/** Every route with bodies, queries and paths that cannot be: refused with a 4xx problem, never a 5xx. */
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { z } from 'zod'
import { SCOPES } from '../../../protocol/scopes.ts'
import type { Route } from '../../../registry/api/route.ts'
import { ROUTES } from '../../../registry/api/routes.ts'
import { organizationsOf } from '../../../simulations/lab/login.ts'
import { newToken, withSession } from '../../support/api.ts'
import { mutationsOf, sampleOf } from '../../support/json-sample.ts'
import { startTestRegistry, type TestRegistry } from '../../support/registry.ts'

const rule = suite('fuzzing of the API')

const WITH_BODY = ROUTES.filter(({ body }) => body !== undefined)
const GUARDED = ROUTES.filter(({ access, produces }) => {
  return access.kind !== 'anyone' && produces !== 'text/event-stream'
})

let asked = 0

/** Ada with a token for everything; each request from an address of its own, so that no rate is met. */
async function scene(registry: TestRegistry) {
  const browser = await registry.ada()
  const [organization = ''] = await organizationsOf(browser)
  const { token } = await newToken(withSession(browser), SCOPES)
  const ask = async (method: string, path: string, init: RequestInit = {}) => {
    asked++
    const headers = new Headers(init.headers)
    headers.set('authorization', `Bearer ${token}`)
    headers.set('x-forwarded-for', `10.${(asked >> 16) & 255}.${(asked >> 8) & 255}.${asked & 255}`)
    const answer = await fetch(`${registry.url}/v1${path}`, { ...init, method, headers })
    return {
      status: answer.status,
      text: await answer.text(),
      type: answer.headers.get('content-type'),
    }
  }
  return { organization, ask }
}

const start = () => startTestRegistry({ trustedProxies: ['127.0.0.0/8'] })

type Answer = { status: number; text: string; type: string | null }

function assertRefusedWell({ status, text, type }: Answer, what: string): void {
  assert.ok(status < 500, `${what}: ${status} ${text.slice(0, 300)}`)
  if (status < 400) return
  assert.match(type ?? '', /^application\/(problem\+)?json/, what)
  const body = JSON.parse(text)
  assert.ok(body.detail ?? body.error_description, `${what}: ${text}`)
}

function pathOf({ path }: Route<never>, organization: string, id = 'aaaaaaaa'): string {
  return path.replace(':organization', organization).replace(/:\w+/g, id)
}

const json = { 'content-type': 'application/json' }

rule('bodies with each field wrong in each way', async () => {
  await using registry = await start()
  const { organization, ask } = await scene(registry)
  for (const route of WITH_BODY) {
    const schema = z.toJSONSchema(route.body ?? z.never(), { io: 'input', unrepresentable: 'any' })
    for (const body of mutationsOf(sampleOf(schema))) {
      const sent = JSON.stringify(body)
      const answer = await ask(route.method, pathOf(route, organization), {
        headers: json,
        body: sent,
      })
      assertRefusedWell(answer, `${route.operation} ${sent.slice(0, 200)}`)
    }
  }
  assert.equal(
    registry.logged.filter(({ level }) => level === 'error'),
    [],
  )
})

rule('bodies of any JSON there is', async () => {
  await using registry = await start()
  const { organization, ask } = await scene(registry)
  const inputs = [fc.constantFrom(...WITH_BODY), fc.json({ maxDepth: 4 })] as const
  await fc.assert(
    fc.asyncProperty(...inputs, async (route, body) => {
      const answer = await ask(route.method, pathOf(route, organization), { headers: json, body })
      assertRefusedWell(answer, `${route.operation} ${body}`)
      if (!body.startsWith('{')) assert.ok(answer.status >= 400, `${route.operation} ${body}`)
    }),
    { numRuns: 300 },
  )
})

rule('bodies that are no JSON, too large, or of another type', async () => {
  await using registry = await start()
  const { organization, ask } = await scene(registry)
  const large = (route: Route<never>) => 'x'.repeat((route.largestBody ?? 32 * 1024) + 1)
  for (const route of WITH_BODY) {
    const path = pathOf(route, organization)
    const cases: [RequestInit, readonly number[]][] = [
      [{ headers: json, body: '{' }, [400]],
      [{ headers: json, body: '' }, [400, 200, 201, 204, 404]],
      [{ headers: json, body: '{"a":1}{"b":2}' }, [400]],
      [{ headers: json, body: '\ufeff\u0000' }, [400]],
      [{ headers: json, body: JSON.stringify({ a: large(route) }) }, [413]],
      [{ headers: json, body: `[${'['.repeat(10_000)}` }, [400]],
      [{ headers: { 'content-type': 'text/plain' }, body: '{}' }, [415]],
      [{ headers: { 'content-type': 'application/xml' }, body: '<a/>' }, [415]],
      [{ headers: { ...json, 'content-encoding': 'zstd9' }, body: '{}' }, [415]],
      [{ headers: { 'content-type': 'application/json; charset=ebcdic' }, body: '{}' }, [415]],
    ]
    for (const [init, wanted] of cases) {
      const answer = await ask(route.method, path, init)
      const what = `${route.operation} ${JSON.stringify(init).slice(0, 100)}`
      assertRefusedWell(answer, what)
      assert.ok(wanted.includes(answer.status), `${what}: ${answer.status} ${answer.text}`)
    }
  }
})

rule('ids that are none, in every place of every path', async () => {
  await using registry = await start()
  const { organization, ask } = await scene(registry)
  const strange = [
    '%00',
    '%2e%2e%2f',
    'ü',
    '%ff',
    'a%20b',
    "'",
    '%252e',
    'a'.repeat(300),
    '%0a',
    ':x',
  ]
  for (const route of ROUTES.filter(({ path }) => path.includes(':'))) {
    for (const id of strange) {
      for (const path of [pathOf(route, organization, id), pathOf(route, id)]) {
        if (path === pathOf(route, organization)) continue
        const answer = await ask(route.method, path, {
          headers: json,
          ...(route.body && { body: '{}' }),
        })
        const what = `${route.method} ${path}`
        assertRefusedWell(answer, what)
        const isRight = answer.status === 404 || answer.status === 400 || !path.includes(id)
        assert.ok(isRight, `${what}: ${answer.status}`)
      }
    }
  }
})

rule('queries of any kind', async () => {
  await using registry = await start()
  const { organization, ask } = await scene(registry)
  const strange = [
    ...['limit=0', 'limit=-1', 'limit=1001', 'limit=x', 'limit=1e3x', 'limit=', 'limit=1&limit=2'],
    ...['cursor=', 'cursor=x', 'cursor=AAAA', `cursor=${'x'.repeat(2000)}`, 'cursor=a&cursor=b'],
    ...['surprise=1', 'limit[a]=1', '__proto__=1', 'order=up', '%00=%00', '%'],
  ]
  for (const route of GUARDED.filter(({ method }) => method === 'GET')) {
    for (const query of strange) {
      const answer = await ask('GET', `${pathOf(route, organization)}?${query}`)
      assertRefusedWell(answer, `${route.operation} ${query}`)
      const isRefused = answer.status === 400 || answer.status === 404
      assert.ok(isRefused, `${route.operation} ${query}: ${answer.status}`)
    }
  }
})

rule.run()
