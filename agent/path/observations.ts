/** What others see as our address, and what that says of the NATs on the way (RFC 4787 §4.1). */
import {
  addressFamily,
  type Endpoint,
  formatEndpoint,
  sameEndpoint,
} from '../../protocol/address.ts'
import type { NatMapping } from '../../protocol/endpoint-update.ts'

/** How long an observation counts beside newer ones, milliseconds: three refreshes and some. */
const OBSERVATION_MS = 65_000
/** Observers remembered: the registries and the peers that answered last. */
const OBSERVERS = 32

export interface Observation {
  /** Who saw it: a STUN server or a peer, by the endpoint we asked. */
  readonly observer: Endpoint
  /** As what we were seen. */
  readonly mapped: Endpoint
  readonly seenMs: number
}

/** With one more, the newest first. What was seen before `networkChangedMs` goes as soon as something
 *  newer of its family is known, and so does what is old; until then it is the best guess there is. */
export function withObservation(
  observations: readonly Observation[],
  added: Observation,
  networkChangedMs: number,
): readonly Observation[] {
  const family = addressFamily(added.mapped.address)
  const oldestMs = Math.max(networkChangedMs, added.seenMs - OBSERVATION_MS)
  const kept = observations.filter(
    ({ observer, mapped, seenMs }) =>
      !sameEndpoint(observer, added.observer) &&
      (addressFamily(mapped.address) !== family || seenMs >= oldestMs),
  )
  return [added, ...kept].slice(0, OBSERVERS)
}

/** Mapped endpoints that are not the host's own: the most often seen first, then the newest. */
export function reflexiveEndpoints(
  observations: readonly Observation[],
  host: readonly Endpoint[],
): readonly Endpoint[] {
  const seen = new Map<string, { endpoint: Endpoint; count: number }>()
  for (const { mapped } of observations) {
    if (host.some((endpoint) => sameEndpoint(endpoint, mapped))) continue
    const text = formatEndpoint(mapped)
    seen.set(text, { endpoint: mapped, count: (seen.get(text)?.count ?? 0) + 1 })
  }
  return [...seen.values()].toSorted((a, b) => b.count - a.count).map(({ endpoint }) => endpoint)
}

/** Of the IPv4 path: that is where NATs are. `address-dependent` is the least that is known when only
 *  observers at different addresses differ. */
export function natMappingOf(
  observations: readonly Observation[],
  host: readonly Endpoint[],
): NatMapping {
  const seen = observations.filter(({ mapped }) => addressFamily(mapped.address) === 4)
  if (seen.length === 0) return 'unknown'
  const mapped = seen.filter((one) => !host.some((own) => sameEndpoint(own, one.mapped)))
  if (mapped.length === 0) return 'none'
  const differing = mapped.flatMap((a) =>
    mapped.filter((b) => !sameEndpoint(a.mapped, b.mapped)).map((b) => [a, b] as const),
  )
  if (differing.some(([a, b]) => a.observer.address === b.observer.address)) {
    return 'address-and-port-dependent'
  }
  if (differing.length > 0) return 'address-dependent'
  const observers = new Set(mapped.map(({ observer }) => observer.address))
  return observers.size > 1 ? 'endpoint-independent' : 'unknown'
}
