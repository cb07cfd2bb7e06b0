/** What this device says about itself: endpoint update and route advertisements, refreshed in time. */
import type { Prefix } from '../protocol/address.ts'
import type { Clock } from '../protocol/clock.ts'
import type { CborMap } from '../protocol/codec.ts'
import { type Candidate, encodeEndpointUpdate, fittingPaths } from '../protocol/endpoint-update.ts'
import { openEnvelope, sealEnvelope } from '../protocol/envelope.ts'
import { type DeviceId, type DeviceKeyPair, deviceIdOf } from '../protocol/keys.ts'
import {
  CANDIDATES,
  CLOCK_TOLERANCE,
  ENDPOINT_UPDATE_LIFETIME,
  MULTIADDRS,
  ROUTE_ADVERTISEMENT_LIFETIME,
} from '../protocol/limits.ts'
import { encodeNatReport, type NatMapping, type NatReport } from '../protocol/nat-report.ts'
import type { PathReport } from '../protocol/path-report.ts'
import type { PolicyStatus } from '../protocol/policy-status.ts'
import {
  encodeRouteAdvertisement,
  type RouteAdvertisement,
} from '../protocol/route-advertisement.ts'
import { nextEpoch, routeClaims } from '../protocol/route-claims.ts'
import { after, type Seconds } from '../protocol/time.ts'
import type { Knowledge } from './knowledge.ts'
import {
  isRouteSaid,
  nextClaim,
  type RouteClaimBody,
  type RouteWish,
  withoutRequests,
} from './routes/next-claim.ts'

/** A statement is made again when a third of its life is over: three chances to be heard. */
const REFRESH_SHARE = 3

/** Where this device may be reached now. */
export interface Reachability {
  readonly candidates: readonly Candidate[]
  readonly multiaddrs: readonly string[]
  readonly natMapping: NatMapping
  /** Of the families that something is known of. */
  readonly nat: readonly NatReport[]
  /** Undefined where there is nothing to tell. */
  readonly policy?: PolicyStatus | undefined
  /** How peers are reached, as far as it is worth telling. */
  readonly paths?: readonly PathReport[]
}

/** What paths know of it. */
export type LocalReachability = Omit<Reachability, 'multiaddrs' | 'policy' | 'paths'>

export class OwnStatements {
  readonly #knowledge: Knowledge
  readonly #key: DeviceKeyPair
  readonly #system: string
  readonly #clock: Clock

  constructor(knowledge: Knowledge, key: DeviceKeyPair, system: string, clock: Clock) {
    this.#knowledge = knowledge
    this.#key = key
    this.#system = system
    this.#clock = clock
  }

  /** Seals an endpoint update if it says something new, or the last one grows old. */
  reachable({ policy, paths = [], ...local }: Reachability): Uint8Array | undefined {
    const now = this.#clock.now()
    const said = this.#knowledge.state().endpoints.get(this.#device)?.body
    const others = {
      sequence: nextSequence(this.#clock, said?.sequence),
      issuedAt: now,
      notAfter: after(now, ENDPOINT_UPDATE_LIFETIME),
      ...local,
      candidates: local.candidates.slice(0, CANDIDATES),
      multiaddrs: local.multiaddrs.slice(0, MULTIADDRS),
      system: this.#system,
      ...(policy === undefined ? {} : { policy }),
    }
    const update = { ...others, paths: fittingPaths(others, paths) }
    if (said !== undefined && !isOld(said, now) && isSameReachability({ nat: [], ...said }, update))
      return undefined
    return this.#seal('endpoint-update', encodeEndpointUpdate(update))
  }

  /** Says something new of a prefix. Undefined: that is what is said already. */
  route(prefix: Prefix, wish: RouteWish): Uint8Array | undefined {
    const state = this.#knowledge.state()
    const now = this.#clock.now()
    const isHolder = routeClaims(state, now).get(prefix)?.[0]?.device === this.#device
    const epoch = nextEpoch(state, prefix, now)
    const claim = nextClaim(prefix, this.#claim(prefix), wish, { isHolder, epoch })
    return claim === undefined ? undefined : this.#advertise(claim)
  }

  /** Route advertisements that have grown old, made again. */
  refreshed(): readonly Uint8Array[] {
    const now = this.#clock.now()
    return [...this.#knowledge.state().routes.values()]
      .filter(
        ({ signer, body }) => signer === this.#device && isOld(body, now) && isRouteSaid(body),
      )
      .map(({ body }) => this.#advertise(withoutRequests(body)))
  }

  /** What this device says of routes: of every prefix that it claims or stands by for. */
  routes(): readonly RouteAdvertisement[] {
    return [...this.#knowledge.state().routes.values()]
      .filter(({ signer, body }) => signer === this.#device && isRouteSaid(body))
      .map(({ body }) => body)
  }

  get #device(): DeviceId {
    return deviceIdOf(this.#key.publicKey)
  }

  #claim(prefix: Prefix): RouteAdvertisement | undefined {
    return this.#knowledge.state().routes.get(`${this.#device} ${prefix}`)?.body
  }

  #advertise(claim: RouteClaimBody): Uint8Array {
    const now = this.#clock.now()
    const claims = encodeRouteAdvertisement({
      ...claim,
      sequence: nextSequence(this.#clock, this.#claim(claim.prefix)?.sequence),
      issuedAt: now,
      notAfter: after(now, ROUTE_ADVERTISEMENT_LIFETIME),
    })
    return this.#seal('route-advertisement', claims)
  }

  #seal(kind: 'endpoint-update' | 'route-advertisement', claims: CborMap): Uint8Array {
    const bytes = sealEnvelope(kind, this.#knowledge.state().organization, claims, this.#key)
    this.#knowledge.learn(openEnvelope(bytes))
    return bytes
  }
}

/** Grows even when the clock steps back. */
function nextSequence(clock: Clock, last = 0): number {
  return Math.max(clock.nowMs(), last + 1)
}

/** Also where it was made by a clock that was ahead: nobody believes it yet. */
function isOld(
  { issuedAt, notAfter }: { issuedAt: Seconds; notAfter: Seconds },
  now: Seconds,
): boolean {
  if (issuedAt > now + CLOCK_TOLERANCE) return true
  return (now - issuedAt) * REFRESH_SHARE > notAfter - issuedAt
}

function isSameReachability(a: Reachability, b: Reachability): boolean {
  const text = ({
    candidates,
    multiaddrs,
    natMapping,
    nat,
    policy,
    paths = [],
  }: Reachability): string =>
    JSON.stringify([
      candidates.map(({ kind, address, port }) => [kind, address, port]),
      multiaddrs,
      natMapping,
      nat.map(encodeNatReport),
      policy?.revision,
      policy?.state,
      paths.map(({ peer, kind, roundTripMs, relay }) => [peer, kind, roundTripMs, relay]),
    ])
  return text(a) === text(b)
}
