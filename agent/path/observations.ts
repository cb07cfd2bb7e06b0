/** What others see as our address: remembered by who saw it, with its age. */
import {
  addressFamily,
  type Endpoint,
  formatEndpoint,
  sameEndpoint,
} from '../../protocol/address.ts'
import type { DeviceId } from '../../protocol/keys.ts'

/** How long an observation counts beside newer ones, milliseconds: three refreshes and some. */
const OBSERVATION_MS = 65_000
/** How long it says something about the NAT, milliseconds: as long as RFC 4787 REQ-5 wants a mapping to last. */
const EVIDENCE_MS = 300_000
/** Observations remembered: of the registries and the peers that answered last. */
const OBSERVATIONS = 32
/** Of one voice and family, for a peer with many addresses must not push out the others. */
const OBSERVATIONS_OF_ONE = 4

/** Who may lie by itself: a STUN server by its address, or a member, wherever it is asked. */
export type Voice = `server ${string}` | `device ${DeviceId}`

export interface Observation {
  /** The endpoint we asked. */
  readonly observer: Endpoint
  /** Whose it is; undefined: a STUN server's. */
  readonly device?: DeviceId | undefined
  /** As what we were seen. */
  readonly mapped: Endpoint
  readonly seenMs: number
}

export function voiceOf({ observer, device }: Pick<Observation, 'observer' | 'device'>): Voice {
  return device === undefined ? `server ${observer.address}` : `device ${device}`
}

/** With one more, the newest first. Of its family goes what was seen before `networkChangedMs` or is old. */
export function withObservation(
  observations: readonly Observation[],
  added: Observation,
  networkChangedMs: number,
): readonly Observation[] {
  const family = addressFamily(added.mapped.address)
  const oldestMs = Math.max(networkChangedMs, added.seenMs - EVIDENCE_MS)
  const kept = observations.filter(
    ({ observer, mapped, seenMs }) =>
      !sameEndpoint(observer, added.observer) &&
      (addressFamily(mapped.address) !== family || seenMs >= oldestMs),
  )
  const isOfVoice = (one: Observation): boolean =>
    voiceOf(one) === voiceOf(added) && addressFamily(one.mapped.address) === family
  const beyond = new Set(kept.filter(isOfVoice).slice(OBSERVATIONS_OF_ONE - 1))
  return [added, ...kept.filter((one) => !beyond.has(one))].slice(0, OBSERVATIONS)
}

/** Those that say something about the NAT now. */
export function evidence(
  observations: readonly Observation[],
  nowMs: number,
): readonly Observation[] {
  return observations.filter(({ seenMs }) => seenMs >= nowMs - EVIDENCE_MS)
}

/** Mapped endpoints that are not the host's own: what most voices see first, then what a server sees, then the
 *  newest. Of what one member alone says only the newest, so that none crowds out what is true. What is much older
 *  than the newest of its family is left out: the NAT may have forgotten it. */
export function reflexiveEndpoints(
  observations: readonly Observation[],
  host: readonly Endpoint[],
): readonly Endpoint[] {
  const newestMs = new Map<number, number>()
  const seen = new Map<string, Sighting>()
  for (const { observer, device, mapped, seenMs } of observations.toSorted(
    (a, b) => b.seenMs - a.seenMs,
  )) {
    const family = addressFamily(mapped.address)
    const newest = newestMs.get(family) ?? seenMs
    newestMs.set(family, newest)
    if (seenMs < newest - OBSERVATION_MS) continue
    if (host.some((endpoint) => sameEndpoint(endpoint, mapped))) continue
    const text = formatEndpoint(mapped)
    const sighting = seen.get(text) ?? { endpoint: mapped, voices: new Set(), hasServer: false }
    sighting.voices.add(voiceOf({ observer, device }))
    seen.set(text, { ...sighting, hasServer: sighting.hasServer || device === undefined })
  }
  return withoutRepeated([...seen.values()])
    .toSorted((a, b) => b.voices.size - a.voices.size || Number(b.hasServer) - Number(a.hasServer))
    .map(({ endpoint }) => endpoint)
}

interface Sighting {
  readonly endpoint: Endpoint
  readonly voices: Set<Voice>
  readonly hasServer: boolean
}

/** @param sightings the newest first */
function withoutRepeated(sightings: readonly Sighting[]): readonly Sighting[] {
  const heard = new Set<string>()
  return sightings.filter(({ endpoint, voices, hasServer }) => {
    const [voice, second] = voices
    if (hasServer || second !== undefined) return true
    const name = `${voice} ${addressFamily(endpoint.address)}`
    const isFirst = !heard.has(name)
    heard.add(name)
    return isFirst
  })
}
