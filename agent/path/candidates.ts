/** Our own endpoint candidates: the host's addresses on WireGuard's port, and what STUN servers and
 *  peers see us as. Kept fresh, because a NAT forgets, and reported when they change. */
import {
  addressFamily,
  type Endpoint,
  hostPrefix,
  type IpAddress,
  type Prefix,
  prefixContains,
  sameEndpoint,
} from '../../protocol/address.ts'
import type { Clock } from '../../protocol/clock.ts'
import type { Candidate } from '../../protocol/endpoint-update.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import { CANDIDATES } from '../../protocol/limits.ts'
import { isUsable, mayBeChecked } from '../host/usable-address.ts'
import { type LocalKnowledge, startReports } from './local-reports.ts'
import { FAMILIES, NatTracker } from './nat/tracker.ts'
import { reflexiveEndpoints } from './observations.ts'
import { isPrivate } from './pairs.ts'
import type { PortMappings } from './port-mapping/port-mapping.ts'
import { usableMappings } from './port-mapping/usable.ts'
import { type ServerStatus, startAsking } from './stun-servers.ts'

/** Server-reflexive candidates that are told, so that a NAT with a port for each peer fills no list. */
const REFLEXIVE = 4
/** The host's addresses, once read, hold for so long, milliseconds: all candidates of all peers are compared
 *  with them, and to read them takes a system call for each interface. */
const HOST_MS = 100
/** Servers are asked again after an answer; below the shortest UDP mapping in the field (30 s). */
const REFRESH_MS = 20_000
/** The same where no NAT shows: then only a new NAT would be news. */
const REFRESH_WITHOUT_NAT_MS = 120_000

export interface LocalCandidatesOptions {
  readonly listenPort: number
  hostAddresses(): readonly IpAddress[]
  stunServers(): readonly Endpoint[]
  /** Ports that gateways map to `listenPort`; none if it is missing. */
  readonly portMappings?: PortMappings | undefined
  /** Prefixes inside the tunnel: never candidates for its outside. */
  overlayPrefixes(): readonly Prefix[]
  /** Sends a binding request; its answer comes back by `observed`. */
  ask(server: Endpoint): void
  /** Does TCP reach a registry? Then servers that do not answer mean that UDP is blocked. */
  isRegistryConnected?(): boolean
  /** Called when any changed, and once at the start. */
  onChange(...known: LocalKnowledge): void
  /** Called after that, where the candidates are others. */
  onCandidates?(): void
  readonly clock: Clock
}

export interface Seen {
  /** The observer, unless it is a STUN server. */
  readonly device?: DeviceId | undefined
  readonly roundTripMs?: number
}

export interface LocalCandidates {
  current(): readonly Candidate[]
  /** May it be used outside the tunnel? */
  isOutside(address: IpAddress): boolean
  /** May a member be checked there: outside the tunnel, one host, and not this one, for that would be to talk to
   *  oneself? */
  mayBePeer(endpoint: Endpoint): boolean
  /** Another text where `mayBePeer` may answer otherwise. */
  mark(): string
  observed(observer: Endpoint, mapped: Endpoint, seen?: Seen): void
  readonly nat: NatTracker
  /** The NATs are known better. */
  natChanged(): void
  servers(): readonly ServerStatus[]
  /** Reads the host's addresses anew and asks the servers at once. */
  networkChanged(): void
  /** Asks servers that are listed for the first time. */
  askNew(): void
  /** Asks all servers, but those that were asked just now. */
  askAgain(): void
  close(): void
}

export function startLocalCandidates(options: LocalCandidatesOptions): LocalCandidates {
  const isOutside = (address: IpAddress): boolean =>
    !options.overlayPrefixes().some((prefix) => prefixContains(prefix, hostPrefix(address)))
  const { host, readAnew } = cachedHost(options.clock, () => hostEndpoints(options, isOutside))
  const nat = new NatTracker(options.clock, host)
  const mapped = (): readonly Endpoint[] =>
    usableMappings(options.portMappings, nat.observations).filter(({ address }) =>
      isOutside(address),
    )
  const current = (): readonly Candidate[] =>
    candidatesOf(host(), mapped(), reflexiveEndpoints(nat.observations, host()))

  const report = startReports({
    ...options,
    now: () => [current(), nat.mapping(4), nat.reports()],
  })
  const mappingChanges = options.portMappings?.onChange(report.soon)
  const servers = startServers(options, nat, report.soon)
  return {
    current,
    isOutside,
    mayBePeer: (endpoint) => isOutside(endpoint.address) && mayBeOther(endpoint, host()),
    mark: () => JSON.stringify([options.overlayPrefixes(), host()]),
    observed: (observer, mapped, { device, roundTripMs = 0 } = {}) => {
      if (device === undefined) servers.answered(observer, roundTripMs)
      if (!isUsable(mapped.address) || !isOutside(mapped.address)) return
      nat.observed(observer, mapped, device)
      report.soon()
    },
    nat,
    natChanged: report.soon,
    servers: servers.status,
    networkChanged: () => {
      readAnew()
      nat.networkChanged()
      options.portMappings?.networkChanged()
      servers.restart()
    },
    askNew: servers.askDue,
    askAgain: servers.askAgain,
    close: () => {
      mappingChanges?.cancel()
      report.close()
      servers.close()
    },
  }
}

function mayBeOther(endpoint: Endpoint, host: readonly Endpoint[]): boolean {
  if (!mayBeChecked(endpoint.address, host.length === 0)) return false
  return !host.some((own) => sameEndpoint(own, endpoint))
}

function startServers(
  options: LocalCandidatesOptions,
  nat: NatTracker,
  soon: () => void,
): ReturnType<typeof startAsking> {
  return startAsking({
    servers: options.stunServers,
    refreshMs: () => (nat.mapping(4) === 'none' ? REFRESH_WITHOUT_NAT_MS : REFRESH_MS),
    ask: options.ask,
    // With every request the host's addresses are read, too, should an event of theirs be lost.
    onAsked: (asked) => {
      if (options.isRegistryConnected?.() === true) tellMute(nat, asked)
      soon()
    },
    clock: options.clock,
  })
}

/** The host's endpoints, read again after a moment: many answers come at once, and each asks for them. */
function cachedHost(
  clock: Clock,
  read: () => readonly Endpoint[],
): { host(): readonly Endpoint[]; readAnew(): void } {
  let known: { readonly endpoints: readonly Endpoint[]; readonly atMs: number } | undefined
  return {
    host: () => {
      const atMs = clock.monotonicMs()
      if (known === undefined || atMs >= known.atMs + HOST_MS) known = { endpoints: read(), atMs }
      return known.endpoints
    },
    readAnew: () => {
      known = undefined
    },
  }
}

function tellMute(nat: NatTracker, servers: readonly ServerStatus[]): void {
  for (const family of FAMILIES) {
    const ours = servers.filter(({ server }) => addressFamily(server.address) === family)
    if (ours.length > 0 && ours.every(({ isMute }) => isMute)) nat.mute(family)
  }
}

function hostEndpoints(
  options: LocalCandidatesOptions,
  isOutside: (address: IpAddress) => boolean,
): readonly Endpoint[] {
  return options
    .hostAddresses()
    .filter((address) => isUsable(address) && isOutside(address))
    .map((address) => ({ address, port: options.listenPort }))
}

/** The host's own, then mapped ports, then what others see; each endpoint once. */
function candidatesOf(
  host: readonly Endpoint[],
  portMapped: readonly Endpoint[],
  reflexive: readonly Endpoint[],
): readonly Candidate[] {
  const mapped = without(portMapped, host)
  const seen = without(reflexive, mapped).slice(0, REFLEXIVE)
  return [
    ...host
      .toSorted((a, b) => order(a.address) - order(b.address))
      .slice(0, CANDIDATES - mapped.length - seen.length)
      .map((endpoint) => ({ kind: 'host' as const, ...endpoint })),
    ...mapped.map((endpoint) => ({ kind: 'port-mapped' as const, ...endpoint })),
    ...seen.map((endpoint) => ({ kind: 'server-reflexive' as const, ...endpoint })),
  ]
}

function without(endpoints: readonly Endpoint[], known: readonly Endpoint[]): readonly Endpoint[] {
  return endpoints.filter((one) => !known.some((other) => sameEndpoint(one, other)))
}

/** What a host with too many addresses leaves out first: private ones of IPv6. */
function order(address: IpAddress): number {
  return (isPrivate(address) ? 1 : 0) + (isPrivate(address) && addressFamily(address) === 6 ? 1 : 0)
}
