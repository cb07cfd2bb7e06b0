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
import type { Cancellable, Clock } from '../../protocol/clock.ts'
import type { Candidate, NatMapping } from '../../protocol/endpoint-update.ts'
import { CANDIDATES } from '../../protocol/limits.ts'
import {
  natMappingOf,
  type Observation,
  reflexiveEndpoints,
  withObservation,
} from './observations.ts'
import { isPrivate } from './pairs.ts'
import { startAsking } from './stun-servers.ts'

/** Server-reflexive candidates that are told, so that a NAT with a port for each peer fills no list. */
const REFLEXIVE = 4
/** Changes are reported together after so long, milliseconds: the servers' answers come in one bunch. */
const REPORT_DELAY_MS = 30
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
  /** Prefixes inside the tunnel: never candidates for its outside. */
  overlayPrefixes(): readonly Prefix[]
  /** Sends a binding request; its answer comes back by `observed`. */
  ask(server: Endpoint): void
  /** Called when either changed, and once at the start. */
  onChange(candidates: readonly Candidate[], natMapping: NatMapping): void
  readonly clock: Clock
}

export interface LocalCandidates {
  current(): readonly Candidate[]
  /** Is it one of our own host candidates? To be sent there would be to talk to oneself. */
  isOwn(endpoint: Endpoint): boolean
  /** May it be used outside the tunnel? */
  isOutside(address: IpAddress): boolean
  observed(observer: Endpoint, mapped: Endpoint): void
  /** Reads the host's addresses anew and asks the servers at once. */
  networkChanged(): void
  /** Asks servers that are listed for the first time. */
  askNew(): void
  /** Asks all servers, but those that were asked just now. */
  askAgain(): void
  close(): void
}

export function startLocalCandidates(options: LocalCandidatesOptions): LocalCandidates {
  const { clock } = options
  let observations: readonly Observation[] = []
  let networkChangedMs = -Infinity
  const isOutside = (address: IpAddress): boolean =>
    !options.overlayPrefixes().some((prefix) => prefixContains(prefix, hostPrefix(address)))
  let read: { readonly endpoints: readonly Endpoint[]; readonly atMs: number } | undefined
  const host = (): readonly Endpoint[] => {
    const nowMs = clock.monotonicMs()
    if (read === undefined || nowMs - read.atMs >= HOST_MS) {
      read = { endpoints: hostEndpoints(options, isOutside), atMs: nowMs }
    }
    return read.endpoints
  }
  const current = (): readonly Candidate[] =>
    candidatesOf(host(), reflexiveEndpoints(observations, host()))

  const report = startReports(options, () => [current(), natMappingOf(observations, host())])
  const servers = startAsking({
    servers: options.stunServers,
    refreshMs: () =>
      natMappingOf(observations, host()) === 'none' ? REFRESH_WITHOUT_NAT_MS : REFRESH_MS,
    ask: options.ask,
    // With every request the host's addresses are read, too, should an event of theirs be lost.
    onAsked: report.soon,
    clock,
  })
  return {
    current,
    isOwn: (endpoint) => host().some((own) => sameEndpoint(own, endpoint)),
    isOutside,
    observed: (observer, mapped) => {
      servers.answered(observer)
      if (!isUsable(mapped.address) || !isOutside(mapped.address)) return
      const seenMs = clock.monotonicMs()
      observations = withObservation(observations, { observer, mapped, seenMs }, networkChangedMs)
      report.soon()
    },
    networkChanged: () => {
      networkChangedMs = clock.monotonicMs()
      read = undefined
      servers.restart()
    },
    askNew: servers.askDue,
    askAgain: servers.askAgain,
    close: () => {
      report.close()
      servers.close()
    },
  }
}

/** Reports what differs from the last report, some time after `soon`. */
function startReports(
  { clock, onChange }: LocalCandidatesOptions,
  now: () => [readonly Candidate[], NatMapping],
): { soon(): void; close(): void } {
  let reported: string | undefined
  let timer: Cancellable | undefined
  const report = (): void => {
    timer = undefined
    const [candidates, natMapping] = now()
    const text = JSON.stringify([candidates, natMapping])
    if (text === reported) return
    reported = text
    onChange(candidates, natMapping)
  }
  return {
    soon: () => {
      timer ??= clock.after(REPORT_DELAY_MS, report)
    },
    close: () => timer?.cancel(),
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

/** The host's own, then what others see, once each. */
function candidatesOf(
  host: readonly Endpoint[],
  reflexive: readonly Endpoint[],
): readonly Candidate[] {
  const seen = reflexive.slice(0, REFLEXIVE)
  return [
    ...host
      .toSorted((a, b) => order(a.address) - order(b.address))
      .slice(0, CANDIDATES - seen.length)
      .map((endpoint) => ({ kind: 'host' as const, ...endpoint })),
    ...seen.map((endpoint) => ({ kind: 'server-reflexive' as const, ...endpoint })),
  ]
}

/** What a host with too many addresses leaves out first: private ones of IPv6. */
function order(address: IpAddress): number {
  return (isPrivate(address) ? 1 : 0) + (isPrivate(address) && addressFamily(address) === 6 ? 1 : 0)
}

/** Loopback and link-local addresses mean something else on every host. */
function isUsable(address: IpAddress): boolean {
  return !/^(127\.|169\.254\.|::1$|::$|0\.|fe[89ab])/.test(address)
}
