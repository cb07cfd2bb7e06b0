/** nexctl's command about an organization's network: who is in touch with whom, as the registry hears it of devices. */
import type { Command } from 'commander'
import { z } from 'zod'
import { columns } from '../columns.ts'
import { printable } from '../printable.ts'
import { type AdminSession, openSession, pick } from './session.ts'

const LINK = z.object({
  a: z.string(),
  b: z.string(),
  kind: z.string(),
  roundTripMs: z.number().optional(),
  relay: z.string().optional(),
  saidAt: z.number(),
  reports: z.array(z.object({ by: z.string() })),
})
/** Programs get all that is told; people what is needed here. */
const NETWORK = z.looseObject({
  devices: z.array(z.object({ id: z.string(), name: z.string(), state: z.string() })),
  links: z.array(LINK),
  count: z.object({
    devices: z.number(),
    online: z.number(),
    links: z.number(),
    direct: z.number(),
    relayed: z.number(),
  }),
})
type Network = z.output<typeof NETWORK>

/** The most that the registry tells at once. */
const LIMIT = 1000

export function addNetworkCommands(program: Command): void {
  const network = program
    .command('network')
    .description('who is in touch with whom, as the devices of the organization say')
  const show = network
    .command('show')
    .argument('[device]', 'name or id: its links alone')
    .description('every link, direct or relayed, with its round trip')
  show.action(async (wanted: string | undefined) => {
    const session = await openSession(show)
    const asked = new URLSearchParams({
      limit: String(LIMIT),
      ...(wanted !== undefined && { device: await idOf(session, wanted) }),
    })
    const told = await session.api.ask('GET', `${await session.home()}/network?${asked}`)
    session.say(networkText(NETWORK.parse(told)), told)
  })
}

async function idOf({ api, home }: AdminSession, wanted: string): Promise<string> {
  return pick(await api.list(`${await home()}/devices`, 'devices'), wanted).id
}

function networkText({ devices, links, count }: Network): string {
  const names = new Map(devices.map(({ id, name }) => [id, printable(name)]))
  const nameOf = (id: string): string => names.get(id) ?? id
  const rows = links.map(({ a, b, kind, roundTripMs, relay, saidAt, reports }) => [
    ...[nameOf(a), nameOf(b)],
    relay === undefined
      ? kind
      : `${kind} by ${relay === 'registry' ? 'a registry' : nameOf(relay)}`,
    roundTripMs === undefined ? '-' : `${roundTripMs} ms`,
    new Date(saidAt * 1000).toISOString().slice(0, 19),
    reports.map(({ by }) => nameOf(by)).join(' '),
  ])
  const apart = devices
    .filter(({ state }) => state !== 'online')
    .map(({ name, state }) => `${printable(name)} (${state})`)
  const others = count.links - count.direct - count.relayed
  const otherwise = others === 0 ? '' : `, ${others} in some other way`
  return [
    `${count.online} of ${count.devices} devices online; ${count.direct} links direct, ${count.relayed} relayed${otherwise}`,
    ...(apart.length === 0 ? [] : [`not connected to the registry: ${apart.join(', ')}`]),
    ...(rows.length === 0
      ? []
      : ['', columns(['DEVICE', 'DEVICE', 'PATH', 'ROUND TRIP', 'SAID', 'BY'], rows)]),
    ...(links.length < count.links
      ? [`${count.links - links.length} more links are left out: name a device`]
      : []),
  ].join('\n')
}
