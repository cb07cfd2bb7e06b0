/** The page of the network, and the part of it that changes by itself. */
import { type RequestHandler, Router } from 'express'
import { z } from 'zod'
import type { RegistryContext } from '../context.ts'
import { requireDevice } from '../network.ts'
import { parseInput } from '../problem.ts'
import { sendPage } from './guard.ts'
import { LINK_CHOICES, type NetworkView, renderLive, renderNetwork } from './network-page.ts'
import { forMembers, type OrganizationVisit } from './organization-visit.ts'
import type { PageParts } from './pages.ts'

const LOOK = z.object({
  device: z
    .string()
    .regex(/^[a-z2-7]{52}$/)
    .optional(),
  text: z.string().max(64).default(''),
  path: z.enum(LINK_CHOICES).default('all'),
  page: z.coerce.number().int().min(1).max(10_000).default(1),
  /** Of the part that the page shows already. */
  version: z.string().max(64).optional(),
})

export function networkRoutes(context: RegistryContext, parts: PageParts): RequestHandler {
  const router = Router({ mergeParams: true })
  router.get(
    '/network',
    forMembers(context, parts, async (visit) => {
      const { view } = await viewOf(context, parts, visit)
      allowScript(visit)
      sendPage(visit.response, renderNetwork(view))
    }),
  )
  router.get(
    '/network/live',
    forMembers(context, parts, async (visit) => {
      const { view, version } = await viewOf(context, parts, visit)
      const live = renderLive(view).toString()
      const isSame = version !== undefined && live.includes(`data-version="${version}"`)
      if (isSame) visit.response.status(204).end()
      else sendPage(visit.response, live)
    }),
  )
  return router
}

/** Throws Refused (device-unknown). */
async function viewOf({ clock }: RegistryContext, { people }: PageParts, visit: OrganizationVisit) {
  const { version, ...look } = parseInput(LOOK, visit.request.query)
  const { who, organization, role } = visit
  const network = await people.networks.now(organization.id)
  if (look.device !== undefined) requireDevice(network, look.device)
  const view: NetworkView = {
    ...{ viewer: who, organization, role, network, look, now: clock.now() },
  }
  return { view, version }
}

/** Of the registry's own, on this page alone. */
function allowScript({ response }: OrganizationVisit): void {
  const policy = String(response.get('Content-Security-Policy'))
  response.set('Content-Security-Policy', `${policy};script-src 'self';connect-src 'self'`)
}
