/** Who calls the API: a user with a session. */
import type { Request } from 'express'
import type { Identity } from '../identity/identity.ts'
import { ProblemError } from '../problem.ts'
import type { Caller } from './access.ts'

/** Throws a 401 problem. */
export async function callerOf(
  { signedIn }: Pick<Identity, 'signedIn'>,
  request: Request,
): Promise<Caller> {
  const who = await signedIn(request)
  if (who !== undefined) return { user: who.user, name: who.name }
  throw new ProblemError(401, 'not-signed-in', 'sign in first (open the registry in a browser)')
}
