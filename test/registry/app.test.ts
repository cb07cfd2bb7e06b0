// time limit: 120 s
import { request } from 'node:http'
import { connect } from 'node:net'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { openBrowser } from '../../simulations/lab/login.ts'
import { startTestRegistry, type TestRegistry } from '../support/registry.ts'

const rule = suite('app')

interface Answer {
  readonly status: number
  readonly headers: Record<string, string | string[] | undefined>
}

/** As fetch, with headers that fetch does not let be chosen. */
function get({ localUrl }: TestRegistry, path: string, headers: Record<string, string>) {
  return new Promise<Answer>((resolve, reject) => {
    const asked = request(new URL(path, localUrl), { headers }, (response) => {
      response.resume()
      resolve({ status: response.statusCode ?? 0, headers: response.headers })
    })
    asked.on('error', reject).end()
  })
}

rule('is healthy, and says nothing of what it is made with', async () => {
  await using registry = await startTestRegistry()
  const answer = await fetch(`${registry.url}/healthz`)
  assert.equal(await answer.json(), { status: 'ok' })
  assert.is(answer.headers.get('x-powered-by'), null)
})

rule('makes every URL from the public one, whatever host a client names', async () => {
  await using registry = await startTestRegistry()
  const evil = {
    host: 'evil.example',
    'x-forwarded-host': 'evil.example',
    'x-forwarded-proto': 'https',
  }
  const login = await get(registry, '/login', evil)
  const location = String(login.headers['location'])
  assert.ok(location.startsWith(`${registry.url}/oidc/auth?`), location)
  const provider = await get(registry, new URL(location).pathname + new URL(location).search, evil)
  const next = String(provider.headers['location'])
  assert.is(new URL(next, registry.url).origin, registry.url, next)
  const metadata = await fetch(`${registry.url}/oidc/.well-known/openid-configuration`, {
    headers: { 'x-forwarded-host': 'evil.example' },
  })
  assert.not.match(await metadata.text(), 'evil')
})

rule('believes X-Forwarded-For of the trusted proxies only', async () => {
  const failedFrom = async (trustedProxies: string[]) => {
    await using registry = await startTestRegistry({ trustedProxies, logLevel: 'debug' })
    const browser = openBrowser(registry.url)
    await browser.fetch('/healthz', { headers: { 'x-forwarded-for': '203.0.113.7' } })
    await new Promise((resolve) => setTimeout(resolve, 20))
    return registry.logged.find(({ fields }) => fields['path'] === '/healthz')?.fields['from']
  }
  assert.is(await failedFrom([]), '127.0.0.1')
  assert.is(await failedFrom(['10.0.0.0/8']), '127.0.0.1')
  assert.is(await failedFrom(['127.0.0.0/8']), '203.0.113.7')
})

rule('refuses header fields that are too large', async () => {
  await using registry = await startTestRegistry()
  const large = await get(registry, '/healthz', { x: 'x'.repeat(20_000) })
  assert.is(large.status, 431)
})

rule('limits how often one address may begin to sign in', async () => {
  await using registry = await startTestRegistry()
  const statuses: number[] = []
  for (let count = 0; count < 61; count++) {
    const answer = await fetch(`${registry.url}/login`, { redirect: 'manual' })
    statuses.push(answer.status)
    await answer.body?.cancel()
  }
  assert.equal([...new Set(statuses)], [303, 429])
  assert.is(statuses.indexOf(429), 60)
})

rule('answers what is no HTTP with 400 and goes on', async () => {
  await using registry = await startTestRegistry()
  const { port, hostname } = new URL(registry.localUrl)
  const said = await new Promise<string>((resolve, reject) => {
    const socket = connect(Number(port), hostname, () =>
      socket.write('\u0016\u0003\u0001nonsense\r\n\r\n'),
    )
    socket.on('data', (data) => resolve(String(data))).on('error', reject)
  })
  assert.match(said, '400 Bad Request')
  assert.is((await fetch(`${registry.url}/healthz`)).status, 200)
})

rule.run()
