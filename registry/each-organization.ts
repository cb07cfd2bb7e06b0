/** A task for every organization: what is wrong with one of them is that one's alone. */
import type { OrganizationId } from '../protocol/keys.ts'
import type { Log } from '../protocol/log.ts'
import type { Issuing } from './issuing.ts'
import { StoreError } from './store/store.ts'

/** One after another. What fails for one is logged, and the others go on. Throws StoreError: a store that fails,
 *  fails for all.
 *  @param task for the log
 *  @returns for how many it failed */
export async function eachOrganization(
  { issuing, log }: { readonly issuing: Pick<Issuing, 'organizations'>; readonly log: Log },
  task: string,
  body: (organization: OrganizationId) => Promise<void>,
): Promise<number> {
  let failed = 0
  for (const organization of await issuing.organizations()) {
    try {
      await body(organization)
    } catch (error) {
      if (error instanceof StoreError) throw error
      failed += 1
      log('error', 'organization.task-failed', { organization, task, error })
    }
  }
  return failed
}
