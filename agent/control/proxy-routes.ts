/** The local API's calls about the proxy. */
import type { Express } from 'express'
import { PROXY_CHANGE, type ProxyControls, ProxyRefusedError } from './proxy-report.ts'
import { ControlError } from './reports.ts'

/** @param proxy absent where this nexd runs without one */
export function addProxyRoutes(app: Express, proxy: () => ProxyControls | undefined): void {
  const running = (): ProxyControls => {
    const controls = proxy()
    if (controls !== undefined) return controls
    throw new ControlError(409, 'this nexd runs without a proxy (start it with nexd proxy)')
  }
  app.get('/v1/proxy', (_request, response) => void response.json(running().rules()))
  app.post('/v1/proxy', async (request, response) => {
    try {
      response.json(await running().change(PROXY_CHANGE.parse(request.body)))
    } catch (error) {
      throw error instanceof ProxyRefusedError ? new ControlError(400, error.message) : error
    }
  })
}
