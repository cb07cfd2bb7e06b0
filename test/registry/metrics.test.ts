import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { organizationsOf } from '../../simulations/lab/login.ts'
import { withSession } from '../support/api.ts'
import { freePort, startTestRegistry } from '../support/registry.ts'

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

rule.run()
