// time limit: 240 s
/** How often one client address may ask: each route has a limit, and says so. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { mountedRoutes, providerPaths } from '../support/mounted-routes.ts'
import { startTestRegistry } from '../support/registry.ts'

const rule = suite('rates')

rule('every route that is mounted tells its limit', async () => {
  await using registry = await startTestRegistry()
  const mounted = await mountedRoutes(registry)
  assert.ok(mounted.length > 100, `${mounted.length}`)
  const provider = (await providerPaths(registry)).map((path) => ({ method: 'GET', path }))
  const without: string[] = []
  for (const { method, path } of [...mounted, ...provider]) {
    const url = `${registry.url}${path.replace(/:\w+/g, 'aaaaaaaa')}`
    const answer = await fetch(url, { method, redirect: 'manual' })
    await answer.body?.cancel()
    const told = answer.headers.get('ratelimit') ?? ''
    if (!/r=\d+; *t=\d+/.test(told)) without.push(`${method} ${path}`)
  }
  assert.equal(without, [])
})

rule('one address tries 30 user codes a minute, whoever is signed in', async () => {
  await using registry = await startTestRegistry()
  const ada = await registry.ada()
  const bob = await registry.bob(ada)
  const statuses: number[] = []
  for (let count = 0; count < 31; count++) {
    const browser = count % 2 === 0 ? ada : bob
    const answer = await browser.fetch('/device')
    await answer.body?.cancel()
    statuses.push(answer.status)
  }
  assert.equal([...new Set(statuses)], [200, 429])
  assert.is(statuses.indexOf(429), 30)
  assert.is((await ada.submit('/device/login', {})).status, 429)
  assert.is((await ada.open('/')).status, 200)
})

rule.run()
