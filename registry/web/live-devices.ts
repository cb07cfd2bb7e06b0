/** Devices as pages show them. */
import type { RegistryContext } from '../context.ts'
import { liveFactsIn } from '../device-presence.ts'
import { reachedIn } from '../network.ts'
import type { LiveDevice } from './organization-page.ts'
import type { OrganizationVisit } from './organization-visit.ts'
import type { PageParts } from './pages.ts'

/** Devices with what is known of them now, by name. */
export async function liveDevices(
  context: RegistryContext,
  { people }: PageParts,
  { organization }: Pick<OrganizationVisit, 'organization'>,
): Promise<readonly LiveDevice[]> {
  const facts = await liveFactsIn(context, people.connected, organization.id)
  const reached = await reachedIn(people.networks, organization.id)
  return (await people.devices.list(organization.id)).map((each) => ({
    ...{ ...each, ...facts(each) },
    reached: reached.has(each.id),
  }))
}
