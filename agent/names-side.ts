/** Names side: the organization's names of a running agent, on the host or, where the tunnel ends inside the process,
 *  for the proxy alone. */
import {
  formatEndpoint,
  hostPrefix,
  type IpAddress,
  isDefaultPrefix,
  type Prefix,
  prefixAddress,
  prefixContains,
} from '../protocol/address.ts'
import { currentManifest, membersOf } from '../protocol/belief.ts'
import { routeClaims } from '../protocol/route-claims.ts'
import { NAMES_STATUS, type NamesControls, type NamesReport } from './control/names-report.ts'
import type { Daemon } from './daemon.ts'
import type { ExitUse } from './names/exit-use.ts'
import { HOSTS_LIMITS } from './names/hosts-text.ts'
import { type NameKnowledge, nameKnowledge } from './names/knowledge.ts'
import { Names, type NamesStatus } from './names/names.ts'
import { type Zones, zonesOf } from './names/zones.ts'
import { carriedNames } from './organizations/share.ts'

export interface NamesSideOptions {
  /** Are this host's programs to find the names? */
  readonly names: boolean
  readonly interfaceName: string
}

export interface NamesSide {
  readonly controls: NamesControls
  zones(): Zones
  /** The host's packets leave as planned: perhaps by another exit. */
  applied(): void
}

const HOSTS_FILE = '/etc/hosts'

export async function startNamesSide(
  { names: isWanted, interfaceName }: NamesSideOptions,
  daemon: Daemon,
  ending: AsyncDisposableStack,
): Promise<NamesSide> {
  const { knowledge, inside, commands, clock, random, log, neighbours } = daemon.options
  const known = rememberedKnowledge(daemon)
  if (inside !== undefined) return insideOnly(daemon)
  const isReachable = (address: IpAddress): boolean => {
    const host = hostPrefix(address)
    const own = known()?.advertised ?? []
    return [...routedPrefixes(daemon), ...own].some((prefix) => prefixContains(prefix, host))
  }
  const exit = exitUse(daemon)
  const names = await Names.start({
    knowledge: known,
    isReachable,
    exit,
    isHooked: isWanted,
    isSearched: neighbours?.isFirst ?? true,
    interfaceName,
    key: daemon.device,
    hostsFile: HOSTS_FILE,
    commands,
    clock,
    random,
    log,
  })
  ending.use(names)
  knowledge.onChange(() => names.changed())
  neighbours?.follow(() => names.changed())
  let last: string | undefined
  const applied = (): void => {
    const used = exit()
    const now = used && `${used.address} ${used.beside.join()}`
    if (now !== last) names.changed()
    last = now
  }
  const report = (): NamesReport => reportOf(names.status, isWanted)
  return { controls: controlsOf(report), zones: () => names.status.zones, applied }
}

/** Of the organization's own: what an exit carries is anybody's. */
function routedPrefixes({ plan }: Daemon): readonly Prefix[] {
  const all = [...plan.tunnel.peers.values()].flatMap(({ allowedIps }) => allowedIps)
  return all.filter((prefix) => !isDefaultPrefix(prefix))
}

/** What of this host's use of an exit names need to know, at this moment. */
function exitUse(daemon: Daemon): () => ExitUse | undefined {
  return () => {
    const used = daemon.parts.routes?.exitInUse
    if (used === undefined) return undefined
    const { device } = used
    const exit = device === undefined ? undefined : daemon.plan.peers.get(device)
    const [first] = exit?.certificate.addresses ?? []
    const { elsewhere, routed } = daemon.plan
    return {
      address: first && prefixAddress(first),
      get beside() {
        return [...routedPrefixes(daemon), ...elsewhere, ...routed].filter(
          (prefix) => !isDefaultPrefix(prefix),
        )
      },
      ask: async (question) =>
        device === undefined ? undefined : daemon.parts.mesh?.askExit(device, question),
    }
  }
}

/** The same object as the last time where nothing that names follow from is new: most changes of belief are of endpoints. */
function rememberedKnowledge({
  device,
  options: { knowledge, clock, neighbours },
}: Daemon): () => NameKnowledge | undefined {
  let last: { from: readonly unknown[]; known: NameKnowledge | undefined } | undefined
  return () => {
    const [state, now, share] = [knowledge.state(), clock.now(), neighbours?.current]
    const members = [...membersOf(state, now).values()].map(({ envelope }) => envelope)
    const claims = [...routeClaims(state, now).values()].flat().map(({ envelope }) => envelope)
    const from = [share, currentManifest(state, now), ...members, undefined, ...claims]
    if (last?.from.length !== from.length || from.some((each, at) => each !== last?.from[at]))
      last = { from, known: carriedNames(nameKnowledge(state, device, now), share) }
    return last.known
  }
}

/** As they are asked for: a state is another object when it has changed, and belief ends with time. */
function insideOnly({ options, device }: Daemon): NamesSide {
  const { knowledge, clock } = options
  let last: { readonly state: unknown; readonly at: number; readonly zones: Zones } | undefined
  const zones = (): Zones => {
    const [state, at] = [knowledge.state(), clock.now()]
    if (last?.state !== state || last.at !== at)
      last = { state, at, zones: zonesOf(nameKnowledge(state, device, at)) }
    return last.zones
  }
  const report = (): NamesReport => ({
    ...zonesReport(zones()),
    by: 'proxy',
    obstacles: [...taken(zones())],
  })
  return { controls: controlsOf(report), zones, applied: () => undefined }
}

function controlsOf(report: () => NamesReport): NamesControls {
  return { report, status: () => NAMES_STATUS.parse(report()) }
}

function reportOf({ zones, hook, server }: NamesStatus, isWanted: boolean): NamesReport {
  return {
    ...zonesReport(zones),
    by: isWanted ? hook.kind : 'off',
    obstacles: [...taken(zones), ...hook.obstacles, ...(hook.kind === 'hosts' ? cut(zones) : [])],
    ...(server === undefined ? {} : { resolver: formatEndpoint(server) }),
  }
}

function taken({ takenBy, domains: [domain] }: Zones): readonly string[] {
  if (takenBy === undefined) return []
  return [
    `the organization's name: organization ${takenBy}, of a like name, has it on this host; names here are below ${domain}`,
  ]
}

function cut({ listed }: Zones): readonly string[] {
  const count = listed.flatMap(({ addresses }) => addresses).length
  if (count <= HOSTS_LIMITS.lines) return []
  return [`/etc/hosts alone: it has the first ${HOSTS_LIMITS.lines} of ${count} addresses`]
}

function zonesReport({
  domains: [domain, idDomain],
  listed,
  forwards,
}: Zones): Omit<NamesReport, 'by' | 'obstacles'> {
  return {
    ...(domain === undefined ? {} : { domain }),
    ...(idDomain === undefined ? {} : { idDomain }),
    names: listed.map(({ short: _, addresses, ...each }) => ({
      ...each,
      addresses: [...addresses],
    })),
    forwards: forwards.map(({ domain: of, resolvers }) => ({
      domain: of || '.',
      resolvers: resolvers.map(formatEndpoint),
    })),
  }
}
