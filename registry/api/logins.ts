/** Routes of a program that wants to log in as a user (RFC 8628); it polls at /token like a device. */
import { z } from 'zod'
import { SCOPES } from '../../protocol/scopes.ts'
import type { Logins } from '../login-authorization.ts'
import { LABEL } from './fields.ts'
import { openRoute, type Route } from './route.ts'
import { sourceOf } from './source.ts'
import { TOKEN_LIFETIME, USUAL_LIFETIME } from './tokens.ts'

export interface LoginApiParts {
  readonly publicUrl: string
  readonly logins: Logins
}

const LOGIN = z.strictObject({
  client: LABEL,
  scopes: z.array(z.enum(SCOPES)).min(1).max(SCOPES.length),
  lifetime: TOKEN_LIFETIME.default(USUAL_LIFETIME),
})
/** RFC 8628 §3.2. */
export const STARTED = z.object({
  device_code: z.string(),
  user_code: z.string(),
  verification_uri: z.string(),
  verification_uri_complete: z.string(),
  expires_in: z.int(),
  interval: z.int(),
})

export const LOGIN_ROUTES: readonly Route<LoginApiParts>[] = [
  openRoute({
    method: 'POST',
    path: '/login-authorizations',
    operation: 'authorizeLogin',
    summary: 'A program asks for an API token of whoever approves it (RFC 8628 §3.1)',
    rate: 'asking',
    body: LOGIN,
    answer: STARTED,
    handle: async ({ logins, publicUrl }: LoginApiParts, { body, act }) => {
      const requestedFrom = act.from ?? 'unknown'
      const source = sourceOf(requestedFrom)
      return startedAt(publicUrl, await logins.start({ ...body, requestedFrom, source }))
    },
  }),
]

/** RFC 8628 §3.2. */
export function startedAt(
  publicUrl: string,
  started: { deviceCode: string; userCode: string; expiresIn: number; interval: number },
) {
  return {
    device_code: started.deviceCode,
    user_code: started.userCode,
    verification_uri: `${publicUrl}/device`,
    verification_uri_complete: `${publicUrl}/device?code=${started.userCode}`,
    expires_in: started.expiresIn,
    interval: started.interval,
  }
}
