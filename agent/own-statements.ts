/** What this device says about itself: endpoint update and route advertisements, refreshed in time. */
import type { Prefix } from '../protocol/address.ts'
import type { Clock } from '../protocol/clock.ts'
import type { CborMap } from '../protocol/codec.ts'
import { type Candidate, encodeEndpointUpdate } from '../protocol/endpoint-update.ts'
import { openEnvelope, sealEnvelope } from '../protocol/envelope.ts'
import { type DeviceId, type DeviceKeyPair, deviceIdOf } from '../protocol/keys.ts'
import {
  CANDIDATES,
  ENDPOINT_UPDATE_LIFETIME,
  MULTIADDRS,
  ROUTE_ADVERTISEMENT_LIFETIME,
} from '../protocol/limits.ts'
import { encodeNatReport, type NatMapping, type NatReport } from '../protocol/nat-report.ts'
import type { PolicyStatus } from '../protocol/policy-status.ts'
import {
  encodeRouteAdvertisement,
  type RouteAdvertisement,
} from '../protocol/route-advertisement.ts'
import { nextEpoch } from '../protocol/route-claims.ts'
import { after, type Seconds } from '../protocol/time.ts'
import type { Knowledge } from './knowledge.ts'

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
}

/** What paths know of it. */
export type LocalReachability = Omit<Reachability, 'multiaddrs' | 'policy'>

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
  reachable({
    candidates,
    multiaddrs,
    natMapping,
    nat,
    policy,
  }: Reachability): Uint8Array | undefined {
    const now = this.#clock.now()
    const said = this.#knowledge.state().endpoints.get(this.#device)?.body
    const update = {
      sequence: nextSequence(this.#clock, said?.sequence),
      issuedAt: now,
      notAfter: after(now, ENDPOINT_UPDATE_LIFETIME),
      candidates: candidates.slice(0, CANDIDATES),
      multiaddrs: multiaddrs.slice(0, MULTIADDRS),
      natMapping,
      nat,
      system: this.#system,
      ...(policy === undefined ? {} : { policy }),
    }
    if (said !== undefined && !isOld(said, now) && isSameReachability({ nat: [], ...said }, update))
      return undefined
    return this.#seal('endpoint-update', encodeEndpointUpdate(update))
  }

  /** Claims a prefix (highest epoch) or gives it up. Undefined: there was nothing to give up. */
  route(prefix: Prefix, wanted: 'active' | 'withdrawn'): Uint8Array | undefined {
    const known = this.#claim(prefix)
    if (wanted === 'active') {
      return this.#advertise({
        prefix,
        state: 'active',
        epoch: nextEpoch(this.#knowledge.state(), prefix, this.#clock.now()),
        metric: 100,
      })
    }
    if (known === undefined || known.state === 'withdrawn') return undefined
    return this.#advertise({ ...known, state: 'withdrawn' })
  }

  /** Route advertisements that have grown old, made again. */
  refreshed(): readonly Uint8Array[] {
    const now = this.#clock.now()
    return [...this.#knowledge.state().routes.values()]
      .filter(
        ({ signer, body }) =>
          signer === this.#device && body.state !== 'withdrawn' && isOld(body, now),
      )
      .map(({ body }) => this.#advertise(body))
  }

  get #device(): DeviceId {
    return deviceIdOf(this.#key.publicKey)
  }

  #claim(prefix: Prefix): RouteAdvertisement | undefined {
    return this.#knowledge.state().routes.get(`${this.#device} ${prefix}`)?.body
  }

  #advertise(claim: Pick<RouteAdvertisement, 'prefix' | 'state' | 'epoch' | 'metric'>): Uint8Array {
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

function isOld(
  { issuedAt, notAfter }: { issuedAt: Seconds; notAfter: Seconds },
  now: Seconds,
): boolean {
  return (now - issuedAt) * REFRESH_SHARE > notAfter - issuedAt
}

function isSameReachability(a: Reachability, b: Reachability): boolean {
  const text = ({ candidates, multiaddrs, natMapping, nat, policy }: Reachability): string =>
    JSON.stringify([
      candidates.map(({ kind, address, port }) => [kind, address, port]),
      multiaddrs,
      natMapping,
      nat.map(encodeNatReport),
      policy?.revision,
      policy?.state,
    ])
  return text(a) === text(b)
}
