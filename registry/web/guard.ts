/** Pages for signed-in users only. */
import type { Request, RequestHandler, Response } from 'express'
import type { Identity, SignedIn } from '../identity/identity.ts'
import { ProblemError } from '../problem.ts'

export type SignedInHandler = (
  request: Request,
  response: Response,
  who: SignedIn,
) => Promise<void> | void

/** Sends others to sign in and back; what they were about to do (a POST) they have to do again. */
export function forUsers(
  { signedIn }: Pick<Identity, 'signedIn'>,
  handler: SignedInHandler,
): RequestHandler {
  return async (request, response) => {
    const who = await signedIn(request)
    if (who !== undefined) return handler(request, response, who)
    if (request.method === 'GET') {
      const returnTo = encodeURIComponent(request.originalUrl)
      response.redirect(303, request.originalUrl === '/' ? '/login' : `/login?returnTo=${returnTo}`)
      return
    }
    throw new ProblemError(
      401,
      'signed-out',
      'you are not signed in any more: go to the start, sign in, and try again',
    )
  }
}

export function sendPage(response: Response, page: string, status = 200): void {
  response.status(status).type('html').send(page)
}
