/** The API's calls about names that an organization adds. */
import type { Request, Router } from 'express'
import type { OrganizationId } from '../../protocol/keys.ts'
import type { Issuing } from '../issuing.ts'
import { namesIn, setNames } from '../names.ts'
import { NAMES_RECORD } from '../names-record.ts'
import { parseInput } from '../problem.ts'
import type { Database } from '../store/database.ts'

export interface NamesApiParts {
  readonly database: Database
  readonly issuing: Pick<Issuing, 'change'>
}

/** @param memberOf the organization that is asked about, of one of its members; throws for anybody else */
export function addNamesRoutes(
  router: Router,
  { database, issuing }: NamesApiParts,
  memberOf: (request: Request) => Promise<{ readonly organization: OrganizationId }>,
): void {
  router.get('/organizations/:organization/names', async (request, response) => {
    const { organization } = await memberOf(request)
    response.json(await namesIn(database, organization))
  })
  router.put('/organizations/:organization/names', async (request, response) => {
    const { organization } = await memberOf(request)
    const names = parseInput(NAMES_RECORD, request.body)
    await setNames(issuing, organization, names)
    response.json(names)
  })
}
