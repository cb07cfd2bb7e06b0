/** What every answer of the registry carries and every request must satisfy, whatever it is about. */
import type { Request, RequestHandler } from 'express'
import helmet from 'helmet'
import { ProblemError } from './problem.ts'

/** Pages have no script at all, but for that of the network (web/network-routes.ts), and take style, images and forms from the registry alone. */
export function securityHeaders(secure: boolean): RequestHandler {
  const headers = helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'none'"],
        styleSrc: ["'self'"],
        imgSrc: ["'self'", 'data:'],
        formAction: ["'self'"],
        baseUri: ["'none'"],
        frameAncestors: ["'none'"],
        ...(secure && { upgradeInsecureRequests: [] }),
      },
    },
    // With helmet's own "no-referrer", Chromium sends "Origin: null" on forms of our own pages.
    referrerPolicy: { policy: 'same-origin' },
    strictTransportSecurity: secure && { maxAge: 31_536_000 },
    crossOriginOpenerPolicy: secure,
    originAgentCluster: secure,
  })
  return (request, response, next) => headers(request, response, next)
}

const SAFE = new Set(['GET', 'HEAD', 'OPTIONS'])

/** Refuses unsafe requests that carry cookies and come from another site's page. Browsers say where
 *  from in Sec-Fetch-Site (Fetch Metadata), or, on plain http, in Origin; who says neither is refused. */
export function refuseCrossSite(publicUrl: string): RequestHandler {
  return (request, _response, next) => {
    if (SAFE.has(request.method) || request.headers.cookie === undefined) return next()
    if (isSameOrigin(request, publicUrl)) return next()
    next(
      new ProblemError(
        403,
        'cross-site',
        `this form was not sent by a page of ${publicUrl}: open that address and try again`,
      ),
    )
  }
}

function isSameOrigin(request: Request, publicUrl: string): boolean {
  const site = request.headers['sec-fetch-site']
  if (site !== undefined) return site === 'same-origin' || site === 'none'
  return request.headers.origin === publicUrl
}
