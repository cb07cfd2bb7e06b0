/** The route of an organization's network: who is in touch with whom. */
import { z } from 'zod'
import { PATH_KINDS } from '../../protocol/path-report.ts'
import {
  DEVICE_STATES,
  type Network,
  type NetworkLink,
  type Networks,
  requireDevice,
} from '../network.ts'
import { PAGE_LIMIT } from '../page.ts'
import { ANY_MEMBER } from './access.ts'
import { MOMENT } from './fields.ts'
import { ID, memberRoute, type Route } from './route.ts'

export interface NetworkApiParts {
  readonly networks: Networks
}

/** Devices and links of one answer, where the query does not say. */
const USUAL = 500

const SAID = {
  kind: z.enum(PATH_KINDS),
  /** Absent: not measured. */
  roundTripMs: z.int().optional(),
  /** `registry`, or a device's id. */
  relay: z.string().optional(),
  saidAt: MOMENT,
}
const NETWORK = z.object({
  devices: z
    .array(
      z.object({
        id: z.string(),
        name: z.string(),
        owner: z.string(),
        /** `online`: connected to this registry. `reached`: others are in touch with it. */
        state: z.enum(DEVICE_STATES),
        seenAt: MOMENT,
      }),
    )
    .readonly(),
  /** What is said of a link is the newest of its ends' reports. */
  links: z
    .array(
      z.object({
        a: z.string(),
        b: z.string(),
        ...SAID,
        reports: z.array(z.object({ by: z.string(), ...SAID })).readonly(),
      }),
    )
    .readonly(),
  /** Of all that there are, however many are told. */
  count: z.object({
    devices: z.int(),
    online: z.int(),
    links: z.int(),
    direct: z.int(),
    /** Those that are neither go some way that this registry does not know. */
    relayed: z.int(),
  }),
})
const LOOK = z.strictObject({
  /** Links of that one alone, the devices at their ends, and those that relay them. */
  device: ID.optional(),
  limit: z.coerce.number().int().min(1).max(PAGE_LIMIT.most).default(USUAL),
})

export const NETWORK_ROUTES: readonly Route<NetworkApiParts>[] = [
  memberRoute({
    method: 'GET',
    path: '/organizations/:organization/network',
    operation: 'getNetwork',
    summary: 'Who is in touch with whom, direct or relayed, with round-trip times, as devices say',
    scope: 'read',
    roles: ANY_MEMBER,
    query: LOOK,
    answer: NETWORK,
    handle: async ({ networks }: NetworkApiParts, { organization, query }) =>
      told(await networks.now(organization), query),
  }),
]

/** Relayed links first, and devices that are there. Throws Refused (device-unknown). */
function told(network: Network, { device, limit }: z.output<typeof LOOK>) {
  if (device !== undefined) requireDevice(network, device)
  const links = network.links.filter(
    ({ a, b }) => device === undefined || a === device || b === device,
  )
  const named = new Set<string | undefined>([device, ...links.flatMap(namedIn)])
  const devices = network.devices.filter(({ id }) => device === undefined || named.has(id))
  const relayed = links.filter(({ kind }) => kind === 'relayed')
  const others = links.filter(({ kind }) => kind !== 'relayed')
  const order = (state: (typeof DEVICE_STATES)[number]): number => DEVICE_STATES.indexOf(state)
  return {
    devices: devices.toSorted((a, b) => order(a.state) - order(b.state)).slice(0, limit),
    links: [...relayed, ...others].slice(0, limit),
    count: {
      devices: devices.length,
      online: devices.filter(({ state }) => state === 'online').length,
      links: links.length,
      direct: links.filter(({ kind }) => kind === 'direct').length,
      relayed: relayed.length,
    },
  }
}

/** Its ends, and who relays, as either end says. */
function namedIn({ a, b, reports }: NetworkLink): readonly (string | undefined)[] {
  return [a, b, ...reports.map(({ relay }) => relay)]
}
