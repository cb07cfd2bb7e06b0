/** Sign-in and sign-out, the same for every identity provider: /login, /auth/callback, /logout. */
import { type Request, type RequestHandler, Router } from 'express'
import { noStore } from '../app.ts'
import type { RegistryContext } from '../context.ts'
import { type FoundOrganization, welcome } from '../organizations.ts'
import { ProblemError } from '../problem.ts'
import { rateLimit } from '../rate-limit.ts'
import { renderSignedOut } from '../web/sign-in-pages.ts'
import { cookies } from './cookies.ts'
import type { IdentityKeys } from './keys.ts'
import { type Issuer, newAttempt, type RelyingParty } from './relying-party.ts'
import type { Session, Sessions } from './sessions.ts'
import {
  ATTEMPT_LIFETIME,
  openAttempt,
  parseReturnTo,
  type SignInAttempt,
  sealAttempt,
} from './sign-in-attempt.ts'

export interface SignInParts {
  readonly issuer: Issuer
  readonly relyingParty: RelyingParty
  readonly sessions: Sessions
  readonly keys: IdentityKeys
  readonly found: FoundOrganization
}

const COOKIE = 'nexodus-sign-in'

/** Of one client address. Each sign-in makes the provider work, and the embedded one write. */
const SIGN_INS = { windowSeconds: 60, limit: 60 }

export function signInRoutes(context: RegistryContext, parts: SignInParts): RequestHandler {
  const router = Router()
  const limited = rateLimit(SIGN_INS)
  router.get('/login', limited, noStore, beginSignIn(context, parts))
  router.get('/auth/callback', limited, noStore, endSignIn(context, parts))
  router.post('/logout', noStore, async (request, response) => {
    const session = await parts.sessions.end(request, response)
    response.type('html').send(renderSignedOut(await endSessionUrl(context, parts, session)))
  })
  return router
}

function beginSignIn(context: RegistryContext, parts: SignInParts): RequestHandler {
  const { clock, publicUrl } = context
  const jar = cookies(publicUrl.startsWith('https:'))
  return async (request, response) => {
    const returnTo = parseReturnTo(request.query['returnTo'], publicUrl)
    if ((await parts.sessions.find(request)) !== undefined) return response.redirect(303, returnTo)
    const attempt = newAttempt(returnTo, clock.now() + ATTEMPT_LIFETIME)
    const url = await parts.relyingParty.authorizationUrl(attempt)
    jar.set(response, COOKIE, sealAttempt(attempt, parts.keys.attempt), ATTEMPT_LIFETIME)
    response.redirect(303, url.href)
  }
}

function endSignIn(context: RegistryContext, parts: SignInParts): RequestHandler {
  const { clock, log, publicUrl } = context
  const jar = cookies(publicUrl.startsWith('https:'))
  const attemptOf = (request: Request): SignInAttempt => {
    const value = jar.read(request, COOKIE)
    const attempt = value && openAttempt(value, parts.keys.attempt, clock.now())
    if (attempt) return attempt
    throw new ProblemError(
      400,
      'sign-in-unknown',
      `this sign-in was not begun in this browser at ${publicUrl}, or more than ten minutes ago: open ${publicUrl} and sign in again`,
    )
  }
  return async (request, response) => {
    const attempt = attemptOf(request)
    jar.clear(response, COOKIE)
    const answer = new URL(request.originalUrl, publicUrl)
    const identified = await parts.relyingParty
      .identify(answer, attempt)
      .catch((error: unknown) => {
        log('warn', 'identity.sign-in-failed', { from: request.ip, error })
        throw error
      })
    const { subject, email, idToken } = identified
    const signIn = { issuer: parts.issuer.name, subject, ...(email !== undefined && { email }) }
    const user = await welcome(context, signIn, parts.found, request.ip)
    await parts.sessions.begin(request, response, user, idToken)
    log('info', 'identity.signed-in', { user, from: request.ip })
    response.redirect(303, attempt.returnTo)
  }
}

/** Undefined when the provider has no such page, or cannot be asked: signing out here never waits for it. */
async function endSessionUrl(
  { log }: RegistryContext,
  { relyingParty }: SignInParts,
  session: Session | undefined,
): Promise<URL | undefined> {
  if (session?.idToken === undefined) return undefined
  try {
    return await relyingParty.endSessionUrl(session.idToken)
  } catch (error) {
    log('warn', 'identity.sign-out-partial', { error })
    return undefined
  }
}
