/** Mounts a table of routes: who asks, what they may, what they send and what they get, each checked here. */
import express, { type Request, type RequestHandler, type Response, Router } from 'express'
import { z } from 'zod'
import type { Clock } from '../../protocol/clock.ts'
import type { Act } from '../act.ts'
import { actOf } from '../http-act.ts'
import { noteRoute } from '../http-route.ts'
import { PAGE_LIMIT, PAGE_QUERY, type PageRequest } from '../page.ts'
import { ProblemError, parseInput } from '../problem.ts'
import type { Database } from '../store/database.ts'
import { type Caller, checkScope, memberOf } from './access.ts'
import { type KeptAnswer, once, parseIdempotencyKey } from './idempotency.ts'
import { OauthError } from './oauth-error.ts'
import { rateLimiters } from './rates.ts'
import { ID, type Route, type ServedVisit } from './route.ts'

export interface MountParts {
  readonly database: Database
  /** Who asks, by session or token. Throws a 401 problem. */
  callerOf(request: Request): Promise<Caller>
  readonly clock: Pick<Clock, 'now'>
}

/** Largest JSON body where the route says nothing else. Bytes. An enrolment with its proof has under 2 kB. */
const MAX_JSON_BYTES = 32 * 1024
const form = express.urlencoded({ extended: false, limit: '4kb', parameterLimit: 8 })

export function mountRoutes<Parts extends MountParts>(
  routes: readonly Route<Parts>[],
  parts: Parts,
): Router {
  const router = Router({ caseSensitive: true })
  const limiters = rateLimiters()
  for (const route of routes) {
    const noting = noteRoute(`/v1${route.path}`)
    const handlers = [noting, ...limiters(route.rate), serving(route, parts)]
    router[METHODS[route.method]](route.path, ...handlers)
  }
  for (const [path, allowed] of methodsByPath(routes)) router.all(path, otherMethod(allowed))
  return router
}

const METHODS = {
  GET: 'get',
  POST: 'post',
  PUT: 'put',
  PATCH: 'patch',
  DELETE: 'delete',
} as const

function serving<Parts extends MountParts>(route: Route<Parts>, parts: Parts): RequestHandler {
  const read = bodyReader(route)
  return async (request, response) => {
    try {
      // Whoever may not ask learns nothing of what would be wrong with the question.
      const who = await admitted(route, parts, request)
      await read(request, response)
      const visit = {
        ...visitOf(route, who, actOf(request, who.caller, parts.clock.now()), request),
        isStillAllowed: () => isStillAllowed(route, parts, request),
      }
      const { status, value } = await answered(route, parts, visit, request, response)
      if (response.headersSent) return
      if (value === undefined || value === null) return void response.status(status).end()
      response.status(status).json(value)
    } catch (error) {
      if (!route.oauth || !(error instanceof OauthError)) throw error
      const { code, message, expiresIn } = error
      const extension = expiresIn === undefined ? {} : { expires_in: expiresIn }
      response.status(error.status).json({ error: code, error_description: message, ...extension })
    }
  }
}

/** The answer, without a field that the route's schema does not name; of a POST with an Idempotency-Key,
 *  the one answer that it has. */
async function answered<Parts extends MountParts>(
  route: Route<Parts>,
  parts: Parts,
  visit: ServedVisit,
  request: Request,
  response: Response,
): Promise<KeptAnswer> {
  const serve = async (act: Act): Promise<KeptAnswer> => {
    const value = await route.serve(parts, { ...visit, act }, response)
    return { status: route.status, value: route.answer?.parse(value) }
  }
  const header = request.get('Idempotency-Key')
  const { caller } = visit
  if (route.method !== 'POST' || header === undefined || caller === undefined) {
    return serve(visit.act)
  }
  const said = [request.method, request.originalUrl, request.body]
  const keyed = { user: caller.user, key: parseIdempotencyKey(header), said }
  return once(parts, keyed, visit.act, serve)
}

type Who = Pick<ServedVisit, 'caller' | 'organization' | 'role'>

async function isStillAllowed<Parts extends MountParts>(
  route: Route<Parts>,
  parts: Parts,
  request: Request,
): Promise<boolean> {
  try {
    await admitted(route, parts, request)
    return true
  } catch (error) {
    if (error instanceof ProblemError) return false
    throw error
  }
}

function visitOf<Parts>(
  route: Route<Parts>,
  who: Who,
  act: Act,
  request: Request,
): Omit<ServedVisit, 'isStillAllowed'> {
  return {
    ...who,
    params: paramsOf(request),
    ...queryOf(route, request),
    body: bodyOf(route, request),
    act,
    header: (name) => request.get(name),
  }
}

async function admitted<Parts extends MountParts>(
  { access }: Route<Parts>,
  { callerOf, database }: Parts,
  request: Request,
): Promise<Who> {
  if (access.kind === 'anyone') return {}
  const caller = await callerOf(request)
  checkScope(caller, access.scope)
  if (access.kind === 'user') return { caller }
  const wanted = String(request.params['organization'])
  return { caller, ...(await memberOf(database, caller.user, wanted, access.roles)) }
}

/** What cannot be an id names nothing. */
function paramsOf(request: Request): Record<string, string> {
  const params = z.record(z.string(), ID).safeParse(request.params)
  if (params.success) return params.data
  throw new ProblemError(404, 'not-found', `there is no ${request.method} ${request.path}`)
}

function queryOf<Parts>(
  { query, paginated }: Route<Parts>,
  request: Request,
): { query: unknown; page: PageRequest } {
  if (!paginated) return { query: parseInput(query, request.query), page: USUAL_PAGE }
  const { limit, cursor, ...rest } = request.query
  const asked = { ...(limit !== undefined && { limit }), ...(cursor !== undefined && { cursor }) }
  const page = parseInput(PAGE, asked)
  return {
    query: parseInput(query, rest),
    page: { limit: page.limit, ...(page.cursor !== undefined && { cursor: page.cursor }) },
  }
}
const PAGE = z.strictObject(PAGE_QUERY)
const USUAL_PAGE: PageRequest = { limit: PAGE_LIMIT.usual }

/** Parses what the route takes, no larger than it says. */
function bodyReader<Parts>({ body, oauth, largestBody }: Route<Parts>) {
  const json = express.json({ limit: largestBody ?? MAX_JSON_BYTES })
  const parsers = body === undefined ? [] : oauth ? [json, form] : [json]
  return async (request: Request, response: Response): Promise<void> => {
    for (const parse of parsers) {
      await new Promise<void>((resolve, reject) =>
        parse(request, response, (error?: unknown) =>
          error === undefined ? resolve() : reject(error),
        ),
      )
    }
  }
}

function bodyOf<Parts>({ body, oauth }: Route<Parts>, request: Request): unknown {
  if (body === undefined) return undefined
  const types = oauth ? ['json', 'urlencoded'] : ['json']
  if (request.is(types) === false) {
    throw new ProblemError(415, 'media-type', 'the body must be application/json')
  }
  if (!oauth) return parseInput(body, request.body)
  const parsed = body.safeParse(request.body ?? {})
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const field = issue === undefined || issue.path.length === 0 ? 'request' : issue.path.join('.')
  throw new OauthError('invalid_request', `${field}: ${issue?.message ?? 'invalid'}`)
}

function methodsByPath<Parts>(routes: readonly Route<Parts>[]): ReadonlyMap<string, string[]> {
  const found = new Map<string, string[]>()
  for (const { path, method } of routes) found.set(path, [...(found.get(path) ?? []), method])
  return found
}

function otherMethod(allowed: readonly string[]): RequestHandler {
  const all = allowed.includes('GET') ? ['HEAD', ...allowed] : allowed
  return (request: Request, response: Response) => {
    response.set('Allow', all.join(', '))
    const detail = `${request.path} takes ${all.join(', ')}, not ${request.method}`
    throw new ProblemError(405, 'method-not-allowed', detail)
  }
}
