/** The HTTP surface: what is mounted where, and how errors leave it. */
import express, { type ErrorRequestHandler, type Express, type RequestHandler } from 'express'
import type { RegistryContext } from './context.ts'
import { pathForLog } from './http-path.ts'
import { requestIdOf, requestIds } from './http-request-id.ts'
import { noteRoute } from './http-route.ts'
import { refuseCrossSite, securityHeaders } from './http-security.ts'
import { providerRates } from './identity/provider-rates.ts'
import { type Problem, problemOf, refuseUnknown, sendProblem } from './problem.ts'
import { rateLimit } from './rate-limit.ts'

export interface AppParts {
  /** Counts and times every request. */
  readonly requests?: RequestHandler
  /** Mounted at /v1. */
  readonly api: RequestHandler
  /** The embedded OpenID provider, mounted at /oidc. */
  readonly provider?: RequestHandler
  /** Mounted at /, after all others. */
  readonly pages: RequestHandler
  readonly errorPage: (problem: Problem) => string
}

/** Load balancers and people of one address; each reads the store. */
const PROBES = { windowSeconds: 60, limit: 1200 }

export function createApp(context: RegistryContext, parts: AppParts): Express {
  const { publicUrl, config } = context
  const app = express()
  app.disable('x-powered-by')
  app.disable('etag')
  app.set('query parser', 'simple')
  app.set('trust proxy', [...config.trustedProxies])
  app.use(requestIds(context.randomBytes))
  app.use(requestLog(context))
  if (parts.requests !== undefined) app.use(parts.requests)
  app.use(securityHeaders(publicUrl.startsWith('https:')))
  app.use(refuseCrossSite(publicUrl))
  app.use(['/healthz', '/readyz'], rateLimit(PROBES))
  app.get('/healthz', (_request, response) => void response.json({ status: 'ok' }))
  app.get('/readyz', async (_request, response) => {
    // Throws where the store has failed.
    await context.database.store.get('readyz')
    response.json({ status: 'ready' })
  })
  app.use('/v1', noStore, parts.api, refuseUnknown)
  if (parts.provider !== undefined) app.use('/oidc', providerRates(), parts.provider)
  app.use(noteRoute('pages'), parts.pages)
  app.use(refuseUnknown)
  app.use(errorHandler(context, parts.errorPage))
  return app
}

export const noStore: RequestHandler = (_request, response, next) => {
  response.set('Cache-Control', 'no-store')
  next()
}

/** One line a request, at debug. */
function requestLog({ log, clock }: RegistryContext): RequestHandler {
  return (request, response, next) => {
    const began = clock.monotonicMs()
    const { method } = request
    const path = pathForLog(request)
    response.once('close', () =>
      log('debug', 'http.request', {
        id: requestIdOf(request),
        method,
        path,
        status: response.statusCode,
        durationMs: Math.round(clock.monotonicMs() - began),
        from: request.ip,
      }),
    )
    next()
  }
}

/** Problem details for programs, a page for people. Faults of ours are logged, with what caused them. */
function errorHandler(
  { log }: RegistryContext,
  errorPage: (problem: Problem) => string,
): ErrorRequestHandler {
  return (error, request, response, next) => {
    const id = requestIdOf(request)
    const problem = { ...problemOf(error), instance: `urn:nexodus:request:${id}` }
    if (problem.status >= 500) log('error', 'http.failed', { id, path: pathForLog(request), error })
    if (response.headersSent) return next(error)
    const forPeople =
      !request.path.startsWith('/v1/') && request.accepts(['json', 'html']) === 'html'
    if (!forPeople) return sendProblem(response, problem)
    response.status(problem.status).set('Cache-Control', 'no-store').type('html')
    response.send(errorPage(problem))
  }
}
