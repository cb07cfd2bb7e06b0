/** Limits per client address, kept in memory: each registry process counts for itself. */
import type { Request, RequestHandler } from 'express'
import { rateLimit as expressRateLimit, ipKeyGenerator } from 'express-rate-limit'
import { ProblemError } from './problem.ts'

export interface RateLimit {
  readonly windowSeconds: number
  /** Requests of one client (and one `key`) in a window. */
  readonly limit: number
  /** What is counted apart for one client: an account that someone tries to sign in to. */
  readonly key?: (request: Request) => string
  /** Counts only requests answered with a status of 400 or more. */
  readonly failuresOnly?: boolean
}

/** Answers with a 429 problem over the limit, and tells it in the RateLimit header fields. */
export function rateLimit({ windowSeconds, limit, key, failuresOnly }: RateLimit): RequestHandler {
  return expressRateLimit({
    windowMs: windowSeconds * 1000,
    limit,
    standardHeaders: 'draft-8',
    legacyHeaders: false,
    skipSuccessfulRequests: failuresOnly ?? false,
    // Its checks print to the console; whose X-Forwarded-For counts is decided by --trusted-proxies.
    validate: false,
    keyGenerator: (request) => `${clientOf(request)} ${key?.(request) ?? ''}`,
    handler: (_request, _response, next) =>
      next(
        new ProblemError(429, 'rate-limited', `too many requests: wait up to ${windowSeconds} s`),
      ),
  })
}

/** One IPv4 address, or the /56 that an IPv6 customer is given. */
function clientOf(request: Request): string {
  return request.ip === undefined ? 'unknown' : ipKeyGenerator(request.ip, 56)
}
