/** How often one client address may ask the embedded provider. */
import type { RequestHandler } from 'express'
import { rateLimit } from '../rate-limit.ts'

/** What browsers ask, two or three times a sign-in: each may write to the store. */
const BROWSERS = { windowSeconds: 60, limit: 240 }
/** What the registry itself asks for every sign-in of everybody, from one address; nothing is written without a code. */
const BACK_CHANNEL = { windowSeconds: 60, limit: 6000 }
const IN_BACK = /^\/(?:token|jwks|\.well-known\/openid-configuration)$/

export function providerRates(): RequestHandler {
  const browsers = rateLimit(BROWSERS)
  const backChannel = rateLimit(BACK_CHANNEL)
  return (request, response, next) =>
    (IN_BACK.test(request.path) ? backChannel : browsers)(request, response, next)
}
