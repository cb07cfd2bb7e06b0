/** Links behind: by which link of this host each prefix is reached, as the main routing table has it, and whether that
 *  link has a carrier. */
import {
  type AddressFamily,
  addressFamily,
  hostPrefix,
  type Prefix,
  parseIpAddress,
  parsePrefix,
  prefixLength,
} from '../../protocol/address.ts'
import { type Fields, optionalNumber, optionalText, recordsOf, textsOf } from '../json-fields.ts'
import type { Link } from '../routes/carrier.ts'
import type { Commands } from './run.ts'

interface RouteThere {
  readonly length: number
  readonly metric: number
  /** The kernel does not use it. */
  readonly isDead: boolean
  readonly links: readonly Link[]
}

/** What only the default route leads to, or the tunnel, has none. Throws CommandError, or MalformedError. */
export async function readLinksBehind(
  commands: Commands,
  prefixes: readonly Prefix[],
  tunnelInterface: string,
): Promise<ReadonlyMap<Prefix, Link>> {
  const found = await Promise.all(
    ([4, 6] as const).map((family) => readFamily(commands, family, prefixes, tunnelInterface)),
  )
  return new Map(found.flat())
}

async function readFamily(
  commands: Commands,
  family: AddressFamily,
  prefixes: readonly Prefix[],
  tunnelInterface: string,
): Promise<readonly (readonly [Prefix, Link])[]> {
  const asked = prefixes.filter((prefix) => addressFamily(prefix) === family)
  if (asked.length === 0) return []
  const input = asked.map((prefix) => `route show to match ${prefix}\n`).join('')
  const text = await commands.run('ip', [`-${family}`, '-json', '-batch', '-'], { input })
  const answers = text.split('\n').filter((line) => line.trim() !== '')
  return asked.flatMap((prefix, index) => {
    const link = linkOf(answers[index] ?? '[]', tunnelInterface)
    return link === undefined ? [] : [[prefix, link] as const]
  })
}

/** Of a link that no route leads to any more; one that is not there has no carrier. */
export async function readLink(commands: Commands, name: string): Promise<Link> {
  const links = recordsOf(JSON.parse(await commands.run('ip', ['-json', 'link', 'show'])), 'links')
  const fields = links.find((each) => optionalText(each, 'ifname') === name)
  const hasCarrier = textsOf(fields?.['flags'] ?? [], 'flags').includes('LOWER_UP')
  return { name, hasCarrier }
}

/** The most specific route that the kernel uses; of several next hops one with a carrier. */
function linkOf(json: string, tunnelInterface: string): Link | undefined {
  const routes = recordsOf(JSON.parse(json), 'routes').flatMap(routeThere)
  const [best] = routes.toSorted(
    (a, b) => b.length - a.length || Number(a.isDead) - Number(b.isDead) || a.metric - b.metric,
  )
  const links = (best?.links ?? []).filter(({ name }) => name !== tunnelInterface)
  return links.find(({ hasCarrier }) => hasCarrier) ?? links[0]
}

function routeThere(fields: Fields): readonly RouteThere[] {
  const to = optionalText(fields, 'dst') ?? 'default'
  if (to === 'default') return []
  const hops =
    fields['nexthops'] === undefined ? [fields] : recordsOf(fields['nexthops'], 'nexthops')
  return [
    {
      length: prefixLength(to.includes('/') ? parsePrefix(to) : hostPrefix(parseIpAddress(to))),
      metric: optionalNumber(fields, 'metric') ?? 0,
      isDead: textsOf(fields['flags'] ?? [], 'flags').includes('dead'),
      links: hops.flatMap(linkThere),
    },
  ]
}

function linkThere(fields: Fields): readonly Link[] {
  const name = optionalText(fields, 'dev')
  if (name === undefined) return []
  return [{ name, hasCarrier: !textsOf(fields['flags'] ?? [], 'flags').includes('linkdown') }]
}
