/** NAT tracker: what is known of the NATs before this host, for each address family. Everything in it follows
 *  from evidence that has an age, and a change of the network starts it afresh. */
import {
  type AddressFamily,
  addressFamily,
  type Endpoint,
  formatEndpoint,
  type IpAddress,
  parseEndpoint,
  sameEndpoint,
} from '../../../protocol/address.ts'
import type { Clock } from '../../../protocol/clock.ts'
import type { DeviceId } from '../../../protocol/keys.ts'
import type { NatAnswer, NatMapping, NatReport, UdpState } from '../../../protocol/nat-report.ts'
import { evidence, type Observation, voiceOf, withObservation } from '../observations.ts'
import { type Arrival, filteringOf, withArrival } from './filtering.ts'
import type { Lifetime } from './lifetime.ts'
import { isDependent, type MappingBelief, NO_BELIEF, nextMapping, OWN } from './mapping.ts'
import { isNear, scopeOf } from './scope.ts'
import { SentLedger } from './sent-ledger.ts'

/** UDP works for so long after something came, milliseconds: where there is no NAT servers are asked every two
 *  minutes. */
const UDP_MS = 200_000
/** The way back by our own endpoint is tried again after so long, milliseconds: an hour. */
const HAIRPIN_MS = 3_600_000
/** Servers that do not answer mean that UDP is blocked after so long without anything by UDP, milliseconds. */
const SILENCE_MS = 10_000
export const FAMILIES = [4, 6] as const

export interface MeasuredLifetime extends Lifetime {
  readonly server: Endpoint
  readonly atMs: number
}

export interface FamilyView {
  readonly report: NatReport
  readonly isMappingProved: boolean
  /** Undefined where no two voices agree on one. */
  readonly mapped: Endpoint | undefined
  readonly observations: readonly Observation[]
  readonly lifetime: MeasuredLifetime | undefined
}

interface FamilyState {
  belief: MappingBelief
  arrivals: readonly Arrival[]
  hairpin:
    | { readonly mapped: Endpoint; readonly answer: NatAnswer; readonly atMs: number }
    | undefined
  /** The last word on the mapping that was not `unknown`. */
  knownMapping: NatMapping | undefined
  lifetime: MeasuredLifetime | undefined
  /** When the network changed, if nobody has said since whether that matters. */
  doubtedMs: number | undefined
  heardMs: number
  isMute: boolean
}

const AFRESH = {
  belief: NO_BELIEF,
  arrivals: [],
  hairpin: undefined,
  lifetime: undefined,
  doubtedMs: undefined,
  knownMapping: undefined,
} as const

export class NatTracker {
  readonly #clock: Clock
  readonly #host: () => readonly Endpoint[]
  readonly #ledger = new SentLedger()
  readonly #families: Readonly<Record<AddressFamily, FamilyState>>
  #observations: readonly Observation[] = []

  /** @param host the host's own endpoints: its addresses, on WireGuard's port */
  constructor(clock: Clock, host: () => readonly Endpoint[]) {
    this.#clock = clock
    this.#host = host
    const unknown = (): FamilyState => ({ ...AFRESH, heardMs: -Infinity, isMute: false })
    this.#families = { 4: unknown(), 6: unknown() }
  }

  get observations(): readonly Observation[] {
    return this.#observations
  }

  /** @param device whose the observer is; undefined: a STUN server */
  observed(observer: Endpoint, mapped: Endpoint, device?: DeviceId): void {
    const seenMs = this.#clock.monotonicMs()
    const family = this.#families[addressFamily(mapped.address)]
    let changedMs = -Infinity
    if (family.doubtedMs !== undefined) {
      if (this.#isNews(observer, mapped)) {
        changedMs = family.doubtedMs
        Object.assign(family, AFRESH)
      }
      family.doubtedMs = undefined
    }
    const added = { observer, device, mapped, seenMs }
    this.#observations = withObservation(this.#observations, added, changedMs)
    this.heard(mapped)
    this.#settledBelief(addressFamily(mapped.address))
  }

  /** After a change of the network: does it say anything but what was known before? */
  #isNews(observer: Endpoint, mapped: Endpoint): boolean {
    const before = this.#observations.find((one) => sameEndpoint(one.observer, observer))
    if (before !== undefined) return !sameEndpoint(before.mapped, mapped)
    return !this.#observations.some((one) => sameEndpoint(one.mapped, mapped))
  }

  /** Something authentic, or asked for, came by UDP. */
  heard({ address }: Endpoint): void {
    const family = this.#families[addressFamily(address)]
    family.heardMs = this.#clock.monotonicMs()
    family.isMute = false
  }

  /** All servers of the family were asked several times in vain, though TCP reaches the registry. */
  mute(family: AddressFamily): void {
    this.#families[family].isMute = true
  }

  sent(to: Endpoint): void {
    this.#ledger.sent(to, this.#clock.monotonicMs())
  }

  /** An earlier run of ours may have sent there. */
  mayHaveSent(address: IpAddress): void {
    this.#ledger.mayHaveSent(address, this.#clock.monotonicMs())
  }

  /** A check of `device` came from `from`; to be told before it is answered. */
  arrived(device: DeviceId, from: Endpoint): void {
    this.heard(from)
    const atMs = this.#clock.monotonicMs()
    const unasked = this.#ledger.unasked(from, atMs)
    if (unasked === undefined || scopeOf(from.address) !== 'global') return
    const own = [...this.#host(), ...this.#observations.map(({ mapped }) => mapped)]
    if (own.some(({ address }) => isNear(address, from.address))) return
    const family = this.#families[addressFamily(from.address)]
    family.arrivals = withArrival(family.arrivals, { device, from, unasked, atMs })
  }

  networkChanged(): void {
    const nowMs = this.#clock.monotonicMs()
    for (const family of FAMILIES) this.#families[family].doubtedMs = nowMs
  }

  /** A request to `mapped`, our own mapped endpoint, came back to us or did not. */
  hairpinned(mapped: Endpoint, cameBack: boolean): void {
    this.#families[addressFamily(mapped.address)].hairpin = {
      ...{ mapped, answer: cameBack ? 'yes' : 'no' },
      atMs: this.#clock.monotonicMs(),
    }
  }

  measured(server: Endpoint, lifetime: Lifetime): void {
    const atMs = this.#clock.monotonicMs()
    this.#families[addressFamily(server.address)].lifetime = { ...lifetime, server, atMs }
  }

  mapping(family: AddressFamily): NatMapping {
    return this.#settledBelief(family).mapping
  }

  /** Our endpoint as everybody sees it, where its way back was not tried in the last `withinMs`. */
  hairpinDue(family: AddressFamily, withinMs = HAIRPIN_MS): Endpoint | undefined {
    const mapped = this.#mapped(family)
    if (mapped === undefined || this.mapping(family) !== 'endpoint-independent') return undefined
    const { hairpin } = this.#families[family]
    const oldestMs = this.#clock.monotonicMs() - withinMs
    const isTried = hairpin !== undefined && hairpin.atMs > oldestMs
    return isTried && sameEndpoint(hairpin.mapped, mapped) ? undefined : mapped
  }

  /** How many voices have said lately what they see. */
  voices(family: AddressFamily): number {
    return new Set(this.#evidence(family).map(voiceOf)).size
  }

  view(family: AddressFamily): FamilyView {
    const state = this.#families[family]
    const belief = this.#settledBelief(family)
    const { mapping, isProved } = belief
    const mapped = this.#mapped(family)
    const isHairpinKnown =
      mapping === 'endpoint-independent' && sameEndpoint(state.hairpin?.mapped, mapped)
    const nowMs = this.#clock.monotonicMs()
    const report: NatReport = {
      family,
      mapping,
      filtering: filteringOf(state.arrivals, nowMs),
      hairpinning: (isHairpinKnown && state.hairpin?.answer) || 'unknown',
      portPreserved: this.#portPreserved(belief, mapped),
      udp: this.#udp(state, nowMs),
      lifetime: Math.floor(state.lifetime?.atLeast ?? 0),
    }
    const observations = this.#evidence(family)
    return { report, isMappingProved: isProved, mapped, observations, lifetime: state.lifetime }
  }

  /** Of the families that something is known of, for the endpoint update. */
  reports(): readonly NatReport[] {
    return FAMILIES.map((family) => this.view(family).report).filter(
      ({ mapping, filtering, udp }) =>
        mapping !== 'unknown' || filtering !== 'unknown' || udp !== 'unknown',
    )
  }

  #evidence(family: AddressFamily): readonly Observation[] {
    return evidence(this.#observations, this.#clock.monotonicMs()).filter(
      ({ mapped }) => addressFamily(mapped.address) === family,
    )
  }

  /** Evidence grows old also when none comes. Another kind of mapping is another NAT: what was found out about
   *  the one before says nothing about it. */
  #settledBelief(family: AddressFamily): MappingBelief {
    const state = this.#families[family]
    state.belief = nextMapping(state.belief, this.#evidence(family), this.#host())
    const { mapping } = state.belief
    if (mapping === 'unknown') return state.belief
    if (state.knownMapping !== undefined && !isOfOneKind(state.knownMapping, mapping)) {
      Object.assign(state, { ...AFRESH, belief: state.belief })
    }
    state.knownMapping = mapping
    return state.belief
  }

  /** What the most voices, two at least, see us as. */
  #mapped(family: AddressFamily): Endpoint | undefined {
    const groups = Map.groupBy(this.#evidence(family), ({ mapped }) => formatEndpoint(mapped))
    const [most] = [...groups]
      .map(([text, seen]) => ({ text, voices: new Set(seen.map(voiceOf)).size }))
      .filter(({ voices }) => voices > 1)
      .toSorted((a, b) => b.voices - a.voices)
    return most && parseEndpoint(most.text)
  }

  /** What two voices say and at most one contradicts. */
  #portPreserved({ mapping, words }: MappingBelief, mapped: Endpoint | undefined): NatAnswer {
    const port = this.#host()[0]?.port
    if (mapping === 'none' || mapping === 'unknown' || port === undefined) return 'unknown'
    if (mapping === 'endpoint-independent') {
      if (mapped === undefined) return 'unknown'
      return mapped.port === port ? 'yes' : 'no'
    }
    const said = [...words.values()].filter((says) => says !== OWN)
    const kept = said.filter((says) => parseEndpoint(says).port === port).length
    if (kept >= 2 && said.length - kept <= 1) return 'yes'
    return said.length - kept >= 2 && kept <= 1 ? 'no' : 'unknown'
  }

  #udp({ heardMs, isMute }: FamilyState, nowMs: number): UdpState {
    if (isMute && heardMs + SILENCE_MS <= nowMs) return 'blocked'
    return heardMs + UDP_MS > nowMs ? 'works' : 'unknown'
  }
}

function isOfOneKind(a: NatMapping, b: NatMapping): boolean {
  return a === b || (isDependent(a) && isDependent(b))
}
