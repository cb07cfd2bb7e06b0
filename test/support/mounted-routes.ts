/** Every route that a running registry answers, read from Express itself: a new one is among them. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { IncomingMessage } from 'node:http'
import type { Express, Router } from 'express'
import type { TestRegistry } from './registry.ts'

export interface MountedRoute {
  readonly method: string
  /** As declared, below `/`: `/organizations/:organization/devices`. */
  readonly path: string
}

/** In the order in which they are tried. The embedded provider, at /oidc, is no router of Express: see `providerPaths`. */
export async function mountedRoutes(
  registry: Pick<TestRegistry, 'localUrl'>,
): Promise<readonly MountedRoute[]> {
  return routesIn((await appOf(registry)).router, '')
}

/** Express puts itself into each request that it answers. */
async function appOf({ localUrl }: Pick<TestRegistry, 'localUrl'>): Promise<Express> {
  const found = Promise.withResolvers<Express>()
  const finished = (message: unknown) => {
    const { request } = message as { request: IncomingMessage & { app?: Express } }
    if (request.headers.host === new URL(localUrl).host && request.app) found.resolve(request.app)
  }
  subscribe(FINISHED, finished)
  try {
    await (await fetch(`${localUrl}/healthz`)).text()
    return await found.promise
  } finally {
    unsubscribe(FINISHED, finished)
  }
}
const FINISHED = 'http.server.response.finish'

function routesIn(router: Router, above: string): MountedRoute[] {
  return router.stack.flatMap((layer) => {
    const { route, handle } = layer
    if (route === undefined) {
      if (!('stack' in handle)) return []
      const { rawPath } = layer as unknown as { rawPath: string | readonly string[] }
      return [rawPath].flat().flatMap((at) => routesIn(handle as Router, joined(above, at)))
    }
    const methods = route.stack.flatMap(({ method }) => method?.toUpperCase() ?? [])
    const path = joined(above, route.path)
    return [...new Set(methods)].map((method) => ({ method, path }))
  })
}

function joined(above: string, path: string): string {
  return `${above}${path === '/' && above !== '' ? '' : path}`.replace(/^\/(?=\/)/, '')
}

/** What the embedded provider says that it answers at, and where it goes on after a login. */
export async function providerPaths({ url }: Pick<TestRegistry, 'url'>): Promise<string[]> {
  const known = '/oidc/.well-known/openid-configuration'
  const metadata = (await (await fetch(`${url}${known}`)).json()) as Record<string, unknown>
  const endpoints = Object.entries(metadata).flatMap(([name, value]) =>
    /_(endpoint|uri)$/.test(name) ? new URL(String(value)).pathname : [],
  )
  return [known, ...endpoints, '/oidc/auth/aaaaaaaa']
}
