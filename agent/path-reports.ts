/** Path reports of this device: how it reaches the peers that it is in touch with, for the picture that people have of
 *  the network (SPEC §6.4). Each telling is a statement that every member hears: so it is told what is worth it. */
import type { Clock } from '../protocol/clock.ts'
import type { DeviceId } from '../protocol/keys.ts'
import { LONGEST_ROUND_TRIP_MS, PATH_REPORTS } from '../protocol/limits.ts'
import type { PathReport } from '../protocol/path-report.ts'
import { type RelayAddress, relayAddressOf } from '../protocol/relay.ts'
import type { PathStatus } from './path/path-status.ts'

/** Another kind of path is told after so long, milliseconds: changes come together, and what is tried passes. */
const GATHER_MS = 3000
/** And after up to so long for each member, milliseconds: a relay that fails changes the paths of all at once. */
const SPREAD_MS = 20
/** Tellings at once, and the time until one more, milliseconds: alone, and for each member more. */
const TELLINGS = 4
const NEXT_TELLING_MS = { alone: 60_000, member: 1000 } as const
/** Round trips alone are told so long after the last telling, milliseconds. */
const MEASURED_MS = { alone: 300_000, member: 3000 } as const
/** A round trip is another one when it has changed by a quarter, and so many milliseconds. */
const RATIO = 1.25
const MARGIN_MS = 10

/** A path that is in use, or rests. */
export interface SeenPath {
  readonly peer: RelayAddress
  /** `idle`: nobody asks for the peer. */
  readonly kind: 'direct' | 'relayed' | 'idle'
  readonly roundTripMs?: number
  readonly relay?: 'registry' | RelayAddress
}

export interface Telling {
  /** What was told last. */
  readonly told: readonly PathReport[]
  readonly toldMs: number
  /** Since when there is another kind of path to tell, and how long that waits. */
  readonly gathering: { readonly sinceMs: number; readonly delayMs: number } | undefined
  /** Tellings that may follow at once, as of `toldMs`. */
  readonly left: number
}

/** Of a device that has told nothing. */
export function newTelling(nowMs: number): Telling {
  return { told: [], toldMs: nowMs, gathering: undefined, left: TELLINGS }
}

/** Where one stands, for deciding when to speak. */
export interface TellingInput {
  readonly seen: readonly SeenPath[]
  readonly self: RelayAddress
  readonly members: number
  /** From 0 to 1: what of the longest spread this device waits. */
  readonly share: number
  readonly nowMs: number
}

/** What is told from now on: the same `told` where it is not worth a statement yet. */
export function nextTelling(telling: Telling, input: TellingInput): Telling {
  const { seen, self, members, share, nowMs } = input
  const wanted = chosen(seen, self)
  const change = changeFrom(telling.told, wanted, seen)
  if (change === 'none') return { ...telling, gathering: undefined }
  const nextMs = NEXT_TELLING_MS.alone + NEXT_TELLING_MS.member * members
  const left = Math.min(TELLINGS, telling.left + (nowMs - telling.toldMs) / nextMs)
  if (change === 'measures') {
    const isDue = nowMs - telling.toldMs >= MEASURED_MS.alone + MEASURED_MS.member * members
    if (isDue) return { told: wanted, toldMs: nowMs, gathering: undefined, left }
    return { ...telling, gathering: undefined }
  }
  const delayMs = GATHER_MS + SPREAD_MS * members * share
  const gathering = telling.gathering ?? { sinceMs: nowMs, delayMs }
  if (nowMs - gathering.sinceMs < gathering.delayMs || left < 1) return { ...telling, gathering }
  return { told: wanted, toldMs: nowMs, gathering: undefined, left: left - 1 }
}

/** The live ones; of too many those whose addresses follow our own, round the ring: the other ends choose others. */
function chosen(seen: readonly SeenPath[], self: RelayAddress): readonly PathReport[] {
  const turn = (peer: RelayAddress): string => (peer > self ? `0${peer}` : `1${peer}`)
  return seen
    .flatMap(({ kind, ...rest }) => (kind === 'idle' ? [] : [{ ...rest, kind }]))
    .sort((a, b) => (turn(a.peer) < turn(b.peer) ? -1 : 1))
    .slice(0, PATH_REPORTS)
    .map(({ roundTripMs, ...rest }) => ({
      ...rest,
      ...(roundTripMs !== undefined && { roundTripMs: wholeMs(roundTripMs) }),
    }))
}

function wholeMs(roundTripMs: number): number {
  return Math.max(1, Math.ceil(Math.min(roundTripMs, LONGEST_ROUND_TRIP_MS)))
}

function changeFrom(
  told: readonly PathReport[],
  wanted: readonly PathReport[],
  seen: readonly SeenPath[],
): 'none' | 'measures' | 'kinds' {
  const before = new Map(told.map((report) => [report.peer, report]))
  const isAnother = ({ peer, kind, relay }: PathReport): boolean => {
    const known = before.get(peer)
    return known === undefined || known.kind !== kind || known.relay !== relay
  }
  const known = new Set(seen.map(({ peer }) => peer))
  if (wanted.some(isAnother) || told.some(({ peer }) => !known.has(peer))) return 'kinds'
  // A path that rests has not failed: nobody waits to hear of it.
  const isOther = ({ peer, roundTripMs }: PathReport): boolean =>
    isOtherRoundTrip(before.get(peer)?.roundTripMs, roundTripMs)
  return wanted.length !== told.length || wanted.some(isOther) ? 'measures' : 'none'
}

function isOtherRoundTrip(before = 0, now = 0): boolean {
  const [less, more] = before < now ? [before, now] : [now, before]
  if (less === 0) return more > 0
  return more >= less * RATIO && more - less >= MARGIN_MS
}

/** What is looked at; the daemon is one. */
export interface PathHost {
  readonly device: DeviceId
  readonly options: { readonly clock: Clock; random(length: number): Uint8Array }
  readonly plan: { readonly peers: { readonly size: number; keys(): Iterable<DeviceId> } }
  readonly parts: {
    readonly paths: { status(device: DeviceId): PathStatus } | undefined
    readonly relays: { inUse(to: DeviceId): RelayUsed | undefined } | undefined
  }
}
interface RelayUsed {
  readonly device: DeviceId | undefined
}

export class PathReports {
  readonly #host: PathHost
  readonly #addresses = new Map<DeviceId, RelayAddress>()
  #telling: Telling | undefined

  constructor(host: PathHost) {
    this.#host = host
  }

  /** What is worth telling now. */
  told(): readonly PathReport[] {
    const { device, options, plan } = this.#host
    const nowMs = options.clock.monotonicMs()
    const [share = 0] = options.random(1)
    this.#telling = nextTelling(this.#telling ?? newTelling(nowMs), {
      ...{ seen: this.#seen(), self: this.#addressOf(device), members: plan.peers.size },
      ...{ share: share / 255, nowMs },
    })
    return this.#telling.told
  }

  #seen(): readonly SeenPath[] {
    const { paths, relays } = this.#host.parts
    return [...this.#host.plan.peers.keys()].flatMap((device): readonly SeenPath[] => {
      const status = paths?.status(device) ?? { kind: 'offline' }
      const peer = this.#addressOf(device)
      switch (status.kind) {
        case 'idle':
          return [{ peer, kind: 'idle' }]
        case 'direct':
          return [{ peer, kind: 'direct', roundTripMs: status.roundTripMs }]
        case 'relay': {
          const used = relays?.inUse(device)
          const relay =
            used && (used.device === undefined ? 'registry' : this.#addressOf(used.device))
          const measured = status.roundTripMs !== undefined && { roundTripMs: status.roundTripMs }
          return [{ peer, kind: 'relayed', ...measured, ...(relay !== undefined && { relay }) }]
        }
        default:
          return []
      }
    })
  }

  #addressOf(device: DeviceId): RelayAddress {
    const known = this.#addresses.get(device) ?? relayAddressOf(device)
    if (this.#addresses.size > REMEMBERED) this.#addresses.clear()
    this.#addresses.set(device, known)
    return known
  }
}

/** Addresses, so that none is hashed again. */
const REMEMBERED = 8192
