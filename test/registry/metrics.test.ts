import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { loginByHttp, organizationsOf } from '../../simulations/lab/login.ts'
import { withSession } from '../support/api.ts'
import { ADA, freePort, startTestRegistry } from '../support/registry.ts'

const rule = suite('metrics of the registry')

rule('tells Prometheus what was asked, by route and never by id', async () => {
  const metricsListen = { host: '127.0.0.1', port: await freePort() }
  await using registry = await startTestRegistry({ metricsListen })
  const browser = await registry.ada()
  const [organization = ''] = await organizationsOf(browser)
  await withSession(browser)('GET', `/organizations/${organization}/devices`)
  await fetch(`${registry.url}/v1/organizations/${organization}/devices`)
  await fetch(`${registry.url}/v1/nowhere/${organization}`)
  const answer = await fetch(`http://127.0.0.1:${metricsListen.port}/metrics`)
  const text = await answer.text()
  assert.match(answer.headers.get('content-type') ?? '', 'text/plain')
  const route = 'route="/v1/organizations/:organization/devices"'
  for (const status of [200, 401]) {
    const line = `nexodus_registry_http_requests_total{method="GET",${route},status="${status}"} 1`
    assert.ok(text.includes(line), line)
  }
  assert.match(text, 'nexodus_registry_http_request_duration_seconds_bucket')
  assert.match(text, 'nexodus_registry_event_streams 0')
  assert.match(text, 'process_cpu_seconds_total')
  assert.not.ok(text.includes(organization))
  assert.is((await fetch(`http://127.0.0.1:${metricsListen.port}/`)).status, 404)
  assert.is((await fetch(`${registry.url}/metrics`)).status, 404)
})

rule('tells when the first issuer certificate ends, of organizations that there are', async () => {
  const metricsListen = { host: '127.0.0.1', port: await freePort() }
  await using registry = await startTestRegistry({ metricsListen })
  const gauge = async () => {
    const text = await (await fetch(`http://127.0.0.1:${metricsListen.port}/metrics`)).text()
    return Number(
      /^nexodus_registry_issuer_seconds_left (\S+)$/m.exec(text)?.[1]?.replace('Inf', 'Infinity'),
    )
  }
  assert.is(await gauge(), Number.POSITIVE_INFINITY)
  const ada = await registry.ada()
  let ask = withSession(ada)
  const notAfter = async (organization: string) =>
    Number((await ask('GET', `/organizations/${organization}/issuer`)).json['notAfter'])
  const idIn = ({ json }: Awaited<ReturnType<typeof ask>>) => String(json['id'])
  /** Seconds left of an organization's issuer, while the clock goes on. */
  const assertIs = async (organization: string) => {
    const ends = await notAfter(organization)
    const most = ends - registry.clock.now()
    const told = await gauge()
    assert.ok(told <= most && told >= ends - registry.clock.now(), `${told}, not ${most}`)
  }
  const [first = ''] = await organizationsOf(ada)
  await assertIs(first)

  registry.clock.advance(10 * 24 * 3600)
  ask = withSession(await loginByHttp(registry.url, ADA))
  const second = idIn(await ask('POST', '/organizations', { name: 'later' }))
  assert.ok((await notAfter(second)) > (await notAfter(first)))
  await assertIs(first)
  const how = 'overlap'
  const rotated = await ask('POST', `/organizations/${first}/issuer/rotations`, { how })
  assert.is(rotated.status, 200, JSON.stringify(rotated.json))
  registry.clock.advance(60)
  await assertIs((await notAfter(first)) < (await notAfter(second)) ? first : second)
  const gone = await ask('DELETE', `/organizations/${second}`)
  assert.is(gone.status, 204, JSON.stringify(gone.json))
  await assertIs(first)

  registry.clock.advance((await notAfter(first)) - registry.clock.now() + 3600)
  ask = withSession(await loginByHttp(registry.url, ADA))
  assert.ok((await gauge()) <= -3600)
  await assertIs(first)
})

rule.run()
