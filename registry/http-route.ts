/** The declared route that a request came to, for metrics: of few values, whatever is asked for. */
import type { Request, RequestHandler } from 'express'

const routes = new WeakMap<Request, string>()

/** @param path as declared, with its parameters' names */
export function noteRoute(path: string): RequestHandler {
  return (request, _response, next) => {
    routes.set(request, path)
    next()
  }
}

export function notedRoute(request: Request): string | undefined {
  return routes.get(request)
}
