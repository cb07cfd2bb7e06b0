/** The local API's calls about routes, the router and exits. */
import type { Express } from 'express'
import { ControlError } from './reports.ts'
import { EXIT_CHANGE, ROUTE_CHANGE, ROUTER_CHANGE, type RouteControls } from './route-report.ts'

/** @param routes absent while nexd starts */
export function addRouteCalls(app: Express, routes: () => RouteControls | undefined): void {
  const ready = (): RouteControls => {
    const controls = routes()
    if (controls !== undefined) return controls
    throw new ControlError(409, 'nexd is still starting; try again')
  }
  app.get('/v1/routes', (_request, response) => void response.json(ready().routes()))
  app.post('/v1/routes', async (request, response) => {
    response.json({ changed: await ready().change(ROUTE_CHANGE.parse(request.body)) })
  })
  app.get('/v1/router', (_request, response) => void response.json(ready().router()))
  app.post('/v1/router', async (request, response) => {
    response.json(await ready().changeRouter(ROUTER_CHANGE.parse(request.body)))
  })
  app.get('/v1/exit-nodes', (_request, response) => void response.json(ready().exits()))
  app.post('/v1/exit-nodes', async (request, response) => {
    response.json(await ready().changeExit(EXIT_CHANGE.parse(request.body)))
  })
}
