/** Errors as the HTTP surface tells them: RFC 9457 problem details with a stable `code`. */
import type { Request, Response } from 'express'
import type { z } from 'zod'
import { ContentionError } from './store/database.ts'
import { type DiskFault, diskFaultOf } from './store/disk-fault.ts'
import { StoreError } from './store/store.ts'

/** What a client is told. `code` is stable; `field` names the input at fault. */
export interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly code: string
  readonly field?: string
  /** Names the request, as the registry's log does. */
  readonly instance?: string
}

/** Thrown by any code under the HTTP surface; the app's error handler answers it. */
export class ProblemError extends Error {
  override readonly name = 'ProblemError'
  readonly status: number
  readonly code: string
  readonly field: string | undefined

  /** @param detail for the one who asked: never a secret, nor what only the operator may know */
  constructor(status: number, code: string, detail: string, options: ProblemOptions = {}) {
    super(detail, options.cause === undefined ? undefined : { cause: options.cause })
    this.status = status
    this.code = code
    this.field = options.field
  }
}

export interface ProblemOptions {
  readonly field?: string
  readonly cause?: unknown
}

const TITLES: Readonly<Record<number, string>> = {
  400: 'Bad request',
  401: 'Sign-in needed',
  403: 'Forbidden',
  404: 'Not found',
  405: 'Method not allowed',
  409: 'Conflict',
  410: 'Gone',
  413: 'Too large',
  415: 'Unsupported media type',
  422: 'Unprocessable',
  429: 'Too many requests',
  500: 'Internal error',
  502: 'Bad gateway',
  503: 'Unavailable',
}

/** What only the operator can mend, as far as it concerns who asked. */
const DISK_FAULTS: Readonly<Partial<Record<DiskFault, readonly [code: string, detail: string]>>> = {
  full: ['disk-full', "the registry's disk is full: try again when it has space"],
  'read-only': ['disk-read-only', "the registry's disk is read-only: try again when it is not"],
}

export function problemOf(error: unknown): Problem {
  const { status, code, message, field } = asProblemError(error)
  return {
    type: `urn:nexodus:problem:${code}`,
    title: TITLES[status] ?? 'Error',
    status,
    detail: message,
    code,
    ...(field !== undefined && { field }),
  }
}

/** Express's and the body parser's own errors keep their 4xx status; all else is a 500 that says nothing. */
function asProblemError(error: unknown): ProblemError {
  if (error instanceof ProblemError) return error
  const fault = diskFaultOf(error)
  const known = fault === undefined ? undefined : DISK_FAULTS[fault]
  if (known !== undefined) return new ProblemError(503, ...known, { cause: error })
  if (error instanceof StoreError || error instanceof ContentionError) {
    const words = "the registry's store does not answer: try again in a moment"
    return new ProblemError(503, 'store-unavailable', words, { cause: error })
  }
  if (error instanceof Error && 'status' in error && typeof error.status === 'number') {
    const { status } = error
    if (status === 413) return new ProblemError(413, 'too-large', 'the request body is too large')
    if (status >= 400 && status < 500) {
      return new ProblemError(status, 'bad-request', 'the request could not be read')
    }
  }
  return new ProblemError(500, 'internal', 'the registry failed; its log says why')
}

export function sendProblem(response: Response, problem: Problem): void {
  // RFC 9110 §11.6.1 wants it; what is told is RFC 6750's.
  if (problem.status === 401) response.set('WWW-Authenticate', 'Bearer realm="nexodus"')
  response.status(problem.status).type('application/problem+json').send(JSON.stringify(problem))
}

/** The input as `schema` reads it. Throws a 400 problem that names the first field at fault. */
export function parseInput<T>(schema: z.ZodType<T>, input: unknown, code = 'invalid-input'): T {
  const parsed = schema.safeParse(input ?? {})
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const field = issue === undefined || issue.path.length === 0 ? undefined : issue.path.join('.')
  throw new ProblemError(400, code, `${field ?? 'request'}: ${issue?.message ?? 'invalid'}`, {
    ...(field !== undefined && { field }),
  })
}

/** The last route of a router: nothing here has that name. */
export function refuseUnknown(request: Request): never {
  throw new ProblemError(
    404,
    'not-found',
    `there is no ${request.method} ${request.baseUrl}${request.path}`,
  )
}
