/** The metrics on an address of their own, so that who may read them is decided by who reaches it. */
import type { HostPort } from './config.ts'
import { type HttpServerParts, startHttpServer } from './http-server.ts'
import type { Metrics } from './metrics.ts'

/** GET /metrics, and nothing else. Throws ConfigError when the address cannot be listened on. */
export async function startMetricsServer(
  listen: HostPort,
  metrics: Metrics,
  parts: HttpServerParts,
): Promise<AsyncDisposable & { readonly address: HostPort }> {
  const server = await startHttpServer(listen, parts, { option: '--metrics-listen' })
  server.answerWith((request, response) => {
    const isMetrics = request.url === '/metrics' || request.url?.startsWith('/metrics?') === true
    if (!isMetrics || request.method !== 'GET') {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('GET /metrics\n')
      return
    }
    metrics.text().then(
      (text) => response.writeHead(200, { 'content-type': metrics.contentType }).end(text),
      (error: unknown) => {
        parts.log('error', 'metrics.failed', { error })
        response.writeHead(500).end()
      },
    )
  })
  return server
}
