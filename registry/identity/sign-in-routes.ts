/** Sign-in and sign-out, the same for every identity provider: /login, /auth/callback, /logout. */
import { type Request, type RequestHandler, Router } from 'express'
import { noStore } from '../app.ts'
import type { RegistryContext } from '../context.ts'
import { requestIdOf } from '../http-request-id.ts'
import { type FoundOrganization, type SignIn, welcome } from '../organizations.ts'
import { ProblemError } from '../problem.ts'
import { rateLimit } from '../rate-limit.ts'
import { renderProviderChoice, renderSignedOut } from '../web/sign-in-pages.ts'
import { allow } from './allow-list.ts'
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

/** An identity provider, and us as its client. */
export interface SignInProvider {
  readonly issuer: Issuer
  readonly relyingParty: RelyingParty
}

export interface SignInParts {
  /** One at least. */
  readonly providers: readonly SignInProvider[]
  readonly sessions: Sessions
  readonly keys: IdentityKeys
  readonly found: FoundOrganization
}

const COOKIE = 'nexodus-sign-in'

/** Of one client address. Each sign-in makes the provider work, and the embedded one write. */
const SIGN_INS = { windowSeconds: 60, limit: 60 }
/** Counted apart: who may not sign in any more for now still gets out. */
const SIGN_OUTS = { windowSeconds: 60, limit: 60 }

export function signInRoutes(context: RegistryContext, parts: SignInParts): RequestHandler {
  const router = Router()
  const limited = rateLimit(SIGN_INS)
  router.get('/login', limited, noStore, beginSignIn(context, parts))
  router.get('/auth/callback', limited, noStore, endSignIn(context, parts))
  router.post('/logout', rateLimit(SIGN_OUTS), noStore, async (request, response) => {
    const session = await parts.sessions.end(request, response)
    response
      .type('html')
      .send(renderSignedOut(await endSessionUrl(context, parts, session, requestIdOf(request))))
  })
  return router
}

function beginSignIn(context: RegistryContext, parts: SignInParts): RequestHandler {
  const { clock, publicUrl } = context
  const jar = cookies(publicUrl.startsWith('https:'))
  return async (request, response) => {
    const returnTo = parseReturnTo(request.query['returnTo'], publicUrl)
    if ((await parts.sessions.find(request)) !== undefined) return response.redirect(303, returnTo)
    const provider = providerOf(parts, request.query['provider'])
    if (provider === undefined) {
      const choices = parts.providers.map(({ issuer: { id, label } }) => ({ id, label }))
      return void response.type('html').send(renderProviderChoice(choices, returnTo))
    }
    const { id } = provider.issuer
    const attempt = newAttempt(id, returnTo, clock.now() + ATTEMPT_LIFETIME)
    const url = await provider.relyingParty.authorizationUrl(attempt)
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
    const provider = providerOf(parts, attempt.provider)
    if (provider === undefined) throw unknownProvider()
    const { signIn, idToken } = await identified(provider, answer, attempt).catch((error) => {
      log('warn', 'identity.sign-in-failed', { id: requestIdOf(request), from: request.ip, error })
      throw error
    })
    const { issuer } = signIn
    const user = await welcome(context, signIn, parts.found, request.ip)
    await parts.sessions.begin(request, response, { user, issuer, idToken })
    log('info', 'identity.signed-in', { id: requestIdOf(request), user, from: request.ip })
    response.redirect(303, attempt.returnTo)
  }
}

/** The one that is named, or the only one there is. */
function providerOf({ providers }: SignInParts, named: unknown): SignInProvider | undefined {
  const [only] = providers
  if (providers.length === 1 && (named === undefined || named === only?.issuer.id)) return only
  return providers.find(({ issuer }) => issuer.id === named)
}

function unknownProvider(): ProblemError {
  return new ProblemError(
    400,
    'sign-in-unknown',
    'this sign-in was begun with an identity provider that is not in use any more: sign in again',
  )
}

/** Whom the provider names, if they may sign in. Throws a problem. */
async function identified(
  { issuer, relyingParty }: SignInProvider,
  answer: URL,
  attempt: SignInAttempt,
): Promise<{ signIn: SignIn; idToken: string }> {
  const { subject, claims, idToken } = await relyingParty.identify(answer, attempt)
  return { signIn: { issuer: issuer.name, subject, ...allow(issuer.rules, claims) }, idToken }
}

/** Undefined when the provider has no such page, or cannot be asked: signing out here never waits for it. */
async function endSessionUrl(
  { log }: RegistryContext,
  { providers }: SignInParts,
  session: Session | undefined,
  id: string,
): Promise<URL | undefined> {
  const provider = providers.find(({ issuer }) => issuer.name === session?.issuer)
  if (session?.idToken === undefined || provider === undefined) return undefined
  try {
    return await provider.relyingParty.endSessionUrl(session.idToken)
  } catch (error) {
    log('warn', 'identity.sign-out-partial', { id, error })
    return undefined
  }
}
