/** The local API's calls about the organizations that this device is in. */
import type { Express } from 'express'
import { ORGANIZATION_CHANGE, type OrganizationControls } from './organization-report.ts'
import { ControlError } from './reports.ts'

/** @param organizations absent where this nexd is one of several itself */
export function addOrganizationCalls(
  app: Express,
  organizations: () => OrganizationControls | undefined,
): void {
  const ready = (): OrganizationControls => {
    const controls = organizations()
    if (controls !== undefined) return controls
    throw new ControlError(409, 'this socket is one organization’s: ask that of nexd itself')
  }
  app.get('/v1/organizations', (_request, response) => void response.json(ready().list()))
  app.post('/v1/organizations', async (request, response) => {
    response.json(await ready().change(ORGANIZATION_CHANGE.parse(request.body)))
  })
}
