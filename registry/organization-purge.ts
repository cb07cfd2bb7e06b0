/** Purge: what is left of a deleted organization goes once its devices need not hear of it any more. */
import type { Clock } from '../protocol/clock.ts'
import type { OrganizationId } from '../protocol/keys.ts'
import type { Log } from '../protocol/log.ts'
import { ADDRESS } from './addresses.ts'
import { REMOVED_DEVICE } from './device-record.ts'
import { eachOrganization } from './each-organization.ts'
import { HEAD, MANIFEST, manifestIdOf, REVOCATIONS_OF } from './head.ts'
import { NEXT_ISSUER } from './issuer-installation.ts'
import type { Issuing } from './issuing.ts'
import { APPROVAL } from './lock.ts'
import { POLICY, POLICY_HISTORY } from './policy-record.ts'
import type { Collection } from './store/collection.ts'
import type { Database } from './store/database.ts'

/** Records deleted in one transaction. */
const AT_ONCE = 1000

export interface PurgeParts {
  readonly database: Database
  readonly issuing: Pick<Issuing, 'organizations' | 'keys'>
  readonly clock: Pick<Clock, 'now'>
  readonly log: Log
}

/** To be called every hour or so. Cut off anywhere, it goes on from there the next time: the head goes last, and with
 *  it the newest manifest, without which no registry could load the organization. */
export async function purgeOrganizations(parts: PurgeParts): Promise<void> {
  const { database, clock } = parts
  await eachOrganization(parts, 'purge', async (organization) => {
    const head = await database.get(HEAD, organization)
    if (head?.deletedAt === undefined) return
    const revoked = (await database.get(REVOCATIONS_OF, organization)) ?? []
    if (revoked.some(({ notAfter }) => notAfter > clock.now())) return
    await purge(parts, organization, manifestIdOf(organization, head.manifestSequence))
  })
}

async function purge(
  { database, issuing, log }: PurgeParts,
  organization: OrganizationId,
  newest: string,
): Promise<void> {
  await deleteAll(database, organization, MANIFEST, { before: newest })
  for (const kind of [ADDRESS, REMOVED_DEVICE, APPROVAL, POLICY_HISTORY]) {
    await deleteAll(database, organization, kind)
  }
  await issuing.keys.forget(organization)
  await database.transact(organization, async (transaction) => {
    transaction.delete(REVOCATIONS_OF, organization)
    transaction.delete(NEXT_ISSUER, organization)
    transaction.delete(POLICY, organization)
    transaction.delete(MANIFEST, newest)
    transaction.delete(HEAD, organization)
  })
  log('info', 'organization.purged', { organization })
}

async function deleteAll(
  database: Database,
  organization: OrganizationId,
  of: Collection<unknown>,
  options: { readonly before?: string } = {},
): Promise<void> {
  for (;;) {
    const deleted = await database.transact(organization, async (transaction) => {
      const wanted = { ...options, under: `${organization}/`, limit: AT_ONCE }
      const found = await transaction.list(of, wanted)
      for (const { id } of found) transaction.delete(of, id)
      return found.length
    })
    if (deleted < AT_ONCE) return
  }
}
