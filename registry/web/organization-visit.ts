/** A visit to one of an organization's pages, by a member of it; to others it does not exist. */
import type { Request, RequestHandler, Response } from 'express'
import type { Act } from '../act.ts'
import type { RegistryContext } from '../context.ts'
import { actOf } from '../http-act.ts'
import type { Identity, SignedIn } from '../identity/identity.ts'
import { type Membership, membershipIn } from '../organizations.ts'
import { forUsers } from './guard.ts'

export interface OrganizationVisit extends Membership {
  readonly request: Request
  readonly response: Response
  readonly who: SignedIn
  readonly act: Act
}

export function forMembers(
  { database, clock }: Pick<RegistryContext, 'database' | 'clock'>,
  { identity }: { readonly identity: Pick<Identity, 'signedIn'> },
  handler: (visit: OrganizationVisit) => Promise<void>,
): RequestHandler {
  return forUsers(identity, async (request, response, who) => {
    const id = String(request.params['organization'])
    const membership = await membershipIn(database, who.user, id)
    const act = actOf(request, who, clock.now())
    await handler({ request, response, who, ...membership, act })
  })
}
