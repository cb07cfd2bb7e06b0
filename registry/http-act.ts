/** Acts that come by HTTP: who asks, from where, by which request. */
import type { Request } from 'express'
import type { Seconds } from '../protocol/time.ts'
import type { Act, Actor } from './act.ts'
import { requestIdOf } from './http-request-id.ts'
import type { UserId } from './organizations.ts'

/** A user as a session or token tells them. */
export interface ActingUser {
  readonly user: UserId
  readonly name: string
  readonly token?: { readonly id: string }
}

export function actOf(request: Request, caller: ActingUser | undefined, at: Seconds): Act {
  return {
    who: caller === undefined ? { kind: 'registry' } : actorOf(caller),
    at,
    from: request.ip ?? 'unknown',
    requestId: requestIdOf(request),
  }
}

function actorOf({ user, name, token }: ActingUser): Actor {
  return { kind: 'user', user, name, ...(token !== undefined && { token: token.id }) }
}
