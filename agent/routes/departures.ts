/** Departures: who is being left in a planned way, by a hand-over or a drain, and since when. Pure. The device that is
 *  left sends its last answers by its alias, from when all who leave it have heard of it until the last has left; they
 *  take both until then (SPEC §8.9). */
import { isDefaultPrefix, isHostPrefix, type Prefix } from '../../protocol/address.ts'
import type { RouteClaim } from '../../protocol/belief.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import { LATE_MS } from '../tunnel/backend.ts'

export interface Departure {
  readonly prefix: Prefix
  /** That is left. */
  readonly device: DeviceId
  readonly heardMs: number
  readonly handOverMs: number
}

/** By what says so: anything new begins anew. */
export type Departures = ReadonlyMap<string, Departure>

/** Total. @param claims those believed, best first */
export function departures(
  before: Departures,
  claims: ReadonlyMap<Prefix, readonly RouteClaim[]>,
  nowMs: number,
): Departures {
  const found = [...claims].flatMap(([prefix, each]) =>
    isDefaultPrefix(prefix) ? [] : isHostPrefix(prefix) ? handedOver(each) : drained(each),
  )
  return new Map(
    found.map(({ key, ...told }) => [key, before.get(key) ?? { ...told, heardMs: nowMs }]),
  )
}

interface Told extends Omit<Departure, 'heardMs'> {
  readonly key: string
}

function handedOver([best, ...others]: readonly RouteClaim[]): readonly Told[] {
  const { handOverMs, epoch } = best?.envelope.body ?? {}
  if (handOverMs === undefined) return []
  return others.map(({ prefix, device }) => {
    return { key: `${prefix} ${device} ${best?.device} ${epoch}`, prefix, device, handOverMs }
  })
}

function drained(claims: readonly RouteClaim[]): readonly Told[] {
  return claims.flatMap(({ prefix, device, envelope }) => {
    const { state, handOverMs, sequence } = envelope.body
    if (state !== 'draining' || handOverMs === undefined) return []
    return [{ key: `${prefix} ${device} ${sequence}`, prefix, device, handOverMs }]
  })
}

/** Until when who has heard of it uses the device on; -Infinity: it is not left in a planned way. */
export function usedUntilMs(all: Departures, prefix: Prefix, device: DeviceId): number {
  const ends = [...all.values()].flatMap((each) =>
    each.prefix === prefix && each.device === device ? [each.heardMs + each.handOverMs] : [],
  )
  return Math.max(-Infinity, ...ends)
}

/** Of which devices packets by their alias may come, now that they still hold the prefix. */
export function departing(
  all: Departures,
  holders: ReadonlyMap<Prefix, DeviceId>,
  nowMs: number,
): ReadonlyMap<Prefix, DeviceId> {
  const found = [...all.values()].filter(
    (each) => nowMs < times(each).takenMs && holders.get(each.prefix) === each.device,
  )
  return new Map(found.map(({ prefix, device }) => [prefix, device]))
}

/** Of which prefixes the device sends by its alias.
 *  @param served host prefixes that it still answers for */
export function parting(
  all: Departures,
  self: DeviceId,
  served: ReadonlySet<Prefix>,
  nowMs: number,
): ReadonlySet<Prefix> {
  const found = [...all.values()].filter((each) => {
    const { fromMs, untilMs } = times(each)
    const isNow = each.device === self && fromMs <= nowMs && nowMs < untilMs
    return isNow && (!isHostPrefix(each.prefix) || served.has(each.prefix))
  })
  return new Set(found.map(({ prefix }) => prefix))
}

/** When something changes by time alone; Infinity: never. */
export function departureDueMs(all: Departures, nowMs: number): number {
  const due = [...all.values()].flatMap((each) => [
    each.heardMs + each.handOverMs,
    ...Object.values(times(each)),
  ])
  return Math.min(Infinity, ...due.filter((each) => each > nowMs))
}

/** `fromMs` to `untilMs` who is left sends by its alias; until `takenMs` the others take that of one that they have not left.
 *  They leave it at 1 when they heard of it with it, and all have by a half: so at 1.5 the last has left. */
function times({ heardMs, handOverMs }: Departure): {
  readonly fromMs: number
  readonly untilMs: number
  readonly takenMs: number
} {
  return {
    fromMs: heardMs + handOverMs / 2,
    untilMs: heardMs + handOverMs * 2,
    takenMs: heardMs + handOverMs * 2 + LATE_MS,
  }
}
