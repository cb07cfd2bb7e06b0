/** Who calls the API: a user with a session, or a program with one of their tokens. */
import type { Request } from 'express'
import type { ApiTokens } from '../api-tokens.ts'
import type { Identity } from '../identity/identity.ts'
import { ProblemError } from '../problem.ts'
import type { Caller } from './access.ts'

export interface CallerParts {
  readonly identity: Pick<Identity, 'signedIn' | 'known'>
  readonly tokens: Pick<ApiTokens, 'find'>
}

/** A token, where there is one, counts alone: a session beside it adds nothing. Throws a 401 problem. */
export async function callerOf(
  { identity, tokens }: CallerParts,
  request: Request,
): Promise<Caller> {
  const { authorization } = request.headers
  if (authorization !== undefined) {
    const [, secret = ''] = /^bearer +(nxt_[a-z2-7]{32})$/i.exec(authorization) ?? []
    const token = secret === '' ? undefined : await tokens.find(secret, request.ip ?? 'unknown')
    // A user who is gone takes their tokens along.
    const who = token && (await identity.known(token.user, token.createdAt))
    if (token !== undefined && who !== undefined) {
      return { user: token.user, name: who.name, token }
    }
    throw new ProblemError(
      401,
      'token-refused',
      'the token is unknown, expired or was revoked (nexctl login, or make another)',
    )
  }
  const who = await identity.signedIn(request)
  if (who !== undefined) return { user: who.user, name: who.name }
  throw new ProblemError(
    401,
    'not-signed-in',
    'sign in first (open the registry in a browser), or send a token (Authorization: Bearer nxt_…)',
  )
}
