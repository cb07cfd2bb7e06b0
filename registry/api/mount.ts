/** Mounts a table of routes: who asks, what they may, what they send and what they get, each checked here. */
import express, { type Request, type RequestHandler, type Response, Router } from 'express'
import { z } from 'zod'
import type { Clock } from '../../protocol/clock.ts'
import type { Act } from '../act.ts'
import { actOf } from '../http-act.ts'
import { PAGE_LIMIT, PAGE_QUERY, type PageRequest } from '../page.ts'
import { ProblemError, parseInput } from '../problem.ts'
import type { Database } from '../store/database.ts'
import { type Caller, checkScope, memberOf } from './access.ts'
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
    router[METHODS[route.method]](route.path, ...limiters(route.rate), serving(route, parts))
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
      const visit = visitOf(route, who, actOf(request, who.caller, parts.clock.now()), request)
      const value = await route.serve(parts, visit, response)
      if (response.headersSent) return
      if (route.answer === undefined) return void response.status(route.status).end()
      response.status(route.status).json(route.answer.parse(value))
    } catch (error) {
      if (!route.oauth || !(error instanceof OauthError)) throw error
      const { code, message, expiresIn } = error
      const extension = expiresIn === undefined ? {} : { expires_in: expiresIn }
      response.status(error.status).json({ error: code, error_description: message, ...extension })
    }
  }
}

type Who = Pick<ServedVisit, 'caller' | 'organization' | 'role'>

function visitOf<Parts>(route: Route<Parts>, who: Who, act: Act, request: Request): ServedVisit {
  return {
    ...who,
    params: paramsOf(request),
    ...queryOf(route, request),
    body: bodyOf(route, request),
    act,
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
  throw new OauthError('invalid_request', 'want the device code grant')
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
