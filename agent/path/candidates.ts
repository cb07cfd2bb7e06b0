/** Our own endpoint candidates: the host's addresses on WireGuard's port, and what STUN servers and
 *  peers see us as. Kept fresh, because a NAT forgets, and reported when they change. */
import {
  addressFamily,
  type Endpoint,
  formatEndpoint,
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

/** Server-reflexive candidates that are told, so that a NAT with a port for each peer fills no list. */
const REFLEXIVE = 4
/** Changes are reported together after so long, milliseconds: the servers' answers come in one bunch. */
const REPORT_DELAY_MS = 30
/** Servers are asked again after an answer; below the shortest UDP mapping in the field (30 s). */
const REFRESH_MS = 20_000
/** The same where no NAT shows: then only a new NAT would be news. */
const REFRESH_WITHOUT_NAT_MS = 120_000
/** Until the first repetition of a request without an answer, doubling (RFC 8489 §6.2.1 begins at
 *  500 ms; a first ping waits for this). */
const FIRST_RETRY_MS = 100

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
  close(): void
}

interface Asked {
  readonly askedMs: number
  readonly tries: number
}

export function startLocalCandidates(options: LocalCandidatesOptions): LocalCandidates {
  const { clock, listenPort } = options
  let observations: readonly Observation[] = []
  let networkChangedMs = -Infinity
  let reported: string | undefined
  let reporting: Cancellable | undefined
  let asking: Cancellable | undefined
  const asked = new Map<string, Asked>()

  const isOutside = (address: IpAddress): boolean =>
    !options.overlayPrefixes().some((prefix) => prefixContains(prefix, hostPrefix(address)))
  const host = (): readonly Endpoint[] =>
    options
      .hostAddresses()
      .filter((address) => isUsable(address) && isOutside(address))
      .map((address) => ({ address, port: listenPort }))
  const current = (): readonly Candidate[] =>
    candidatesOf(host(), reflexiveEndpoints(observations, host()))

  const report = (): void => {
    reporting = undefined
    const candidates = current()
    const natMapping = natMappingOf(observations, host())
    const text = JSON.stringify([candidates, natMapping])
    if (text === reported) return
    reported = text
    options.onChange(candidates, natMapping)
  }
  const reportSoon = (): void => {
    reporting ??= clock.after(REPORT_DELAY_MS, report)
  }
  const ask = (): void => {
    asking?.cancel()
    const nowMs = clock.monotonicMs()
    const refreshMs =
      natMappingOf(observations, host()) === 'none' ? REFRESH_WITHOUT_NAT_MS : REFRESH_MS
    let nextMs = nowMs + REFRESH_MS
    for (const server of options.stunServers()) {
      const name = formatEndpoint(server)
      const last = asked.get(name)
      const dueMs = last === undefined ? nowMs : last.askedMs + delayMs(last, refreshMs)
      if (dueMs <= nowMs) {
        const now = { askedMs: nowMs, tries: (last?.tries ?? 0) + 1 }
        asked.set(name, now)
        options.ask(server)
        nextMs = Math.min(nextMs, nowMs + delayMs(now, refreshMs))
      } else nextMs = Math.min(nextMs, dueMs)
    }
    asking = clock.after(nextMs - nowMs, ask)
    reportSoon()
  }
  ask()
  return {
    current,
    isOwn: (endpoint) => host().some((own) => sameEndpoint(own, endpoint)),
    isOutside,
    observed: (observer, mapped) => {
      const name = formatEndpoint(observer)
      const last = asked.get(name)
      if (last !== undefined) asked.set(name, { ...last, tries: 0 })
      if (!isUsable(mapped.address) || !isOutside(mapped.address)) return
      const seenMs = clock.monotonicMs()
      observations = withObservation(observations, { observer, mapped, seenMs }, networkChangedMs)
      reportSoon()
    },
    networkChanged: () => {
      networkChangedMs = clock.monotonicMs()
      asked.clear()
      ask()
    },
    close: () => {
      reporting?.cancel()
      asking?.cancel()
    },
  }
}

/** `tries` counts requests since the last answer. */
function delayMs({ tries }: Asked, refreshMs: number): number {
  return tries === 0 ? refreshMs : Math.min(FIRST_RETRY_MS * 2 ** (tries - 1), REFRESH_MS)
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
