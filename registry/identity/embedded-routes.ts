/** The embedded provider's forms: sign-in with a password, and set-up by a one-time link. */
import express, { type Request, type RequestHandler, Router } from 'express'
import { z } from 'zod'
import { noStore } from '../app.ts'
import type { RegistryContext } from '../context.ts'
import { requestIdOf } from '../http-request-id.ts'
import { ProblemError, parseInput } from '../problem.ts'
import { rateLimit } from '../rate-limit.ts'
import { sentence } from '../web/layout.ts'
import { renderLogin, renderSetup } from '../web/sign-in-pages.ts'
import { type Accounts, MIN_PASSWORD_LENGTH } from './accounts.ts'
import type { EmbeddedProvider } from './embedded-provider.ts'

/** Failed sign-ins of one address at one account, and at all accounts. */
const FAILURES_AT_ACCOUNT = { windowSeconds: 15 * 60, limit: 5, failuresOnly: true }
const FAILURES = { windowSeconds: 15 * 60, limit: 30, failuresOnly: true }
/** Looks at the form of a sign-in by one address: each reads the store. */
const FORMS = { windowSeconds: 60, limit: 120 }
/** Uses of set-up links by one address: each right one costs a password hash. */
const SETUPS = { windowSeconds: 15 * 60, limit: 30 }

const MAX_FORM_BYTES = 8 * 1024
const form: RequestHandler = express.urlencoded({
  extended: false,
  limit: MAX_FORM_BYTES,
  parameterLimit: 8,
})

const credentials = z.object({ email: z.string().max(512).trim(), password: z.string().max(1024) })

export function embeddedRoutes(
  context: RegistryContext,
  accounts: Accounts,
  provider: EmbeddedProvider,
): RequestHandler {
  const router = Router()
  router.use(['/login', '/setup'], noStore)
  router.get('/login/:uid', rateLimit(FORMS), async (request, response) => {
    const uid = await interactionOf(provider, request, response)
    response.type('html').send(renderLogin({ uid }))
  })
  const atAccount = rateLimit({ ...FAILURES_AT_ACCOUNT, key: accountOf })
  const signIn = checkPassword(context, accounts, provider)
  router.post('/login/:uid', form, rateLimit(FAILURES), atAccount, signIn)
  const limited = rateLimit(SETUPS)
  router.get('/setup/:token', limited, async (request, response) => {
    const token = String(request.params['token'])
    const { kind, email: fixedEmail } = await accounts.checkLink(token)
    const minPasswordLength = MIN_PASSWORD_LENGTH
    const page = renderSetup({ token, first: kind === 'first-user', fixedEmail, minPasswordLength })
    response.type('html').send(page)
  })
  router.post('/setup/:token', form, limited, completeSetup(accounts))
  return router
}

function checkPassword(
  { log }: RegistryContext,
  accounts: Accounts,
  provider: EmbeddedProvider,
): RequestHandler {
  return async (request, response) => {
    const uid = await interactionOf(provider, request, response)
    const { email, password } = parseInput(credentials, request.body)
    const account = await accounts.verify(email, password)
    if (account !== undefined) return provider.finish(request, response, account)
    log('warn', 'identity.password-wrong', { id: requestIdOf(request), from: request.ip })
    const error = 'E-mail or password is wrong.'
    response.status(401).type('html').send(renderLogin({ uid, email, error }))
  }
}

function completeSetup(accounts: Accounts): RequestHandler {
  return async (request, response) => {
    const token = String(request.params['token'])
    const wanted = parseInput(credentials, request.body)
    const { kind, email: fixedEmail } = await accounts.checkLink(token)
    try {
      await accounts.complete(token, wanted)
    } catch (error) {
      if (!(error instanceof ProblemError) || error.status !== 422) throw error
      const first = kind === 'first-user'
      const again = {
        token,
        first,
        email: wanted.email,
        fixedEmail,
        minPasswordLength: MIN_PASSWORD_LENGTH,
      }
      const page = renderSetup({ ...again, error: sentence(error.message) })
      response.status(422).type('html').send(page)
      return
    }
    response.redirect(303, '/login')
  }
}

async function interactionOf(
  provider: EmbeddedProvider,
  request: Request,
  response: Parameters<RequestHandler>[1],
): Promise<string> {
  const uid = await provider.interaction(request, response)
  if (uid !== undefined && uid === request.params['uid']) return uid
  throw new ProblemError(
    410,
    'sign-in-over',
    'this sign-in has expired or was begun in another browser: start again from the first page',
  )
}

function accountOf(request: Request): string {
  const body: unknown = request.body
  const parsed = credentials.safeParse(body)
  return parsed.success ? parsed.data.email.toLowerCase() : ''
}
