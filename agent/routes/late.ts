/** Late: which device each prefix has left just now, whose packets from there are still under way (SPEC §8.8). Pure. */
import type { Prefix } from '../../protocol/address.ts'
import type { DeviceId } from '../../protocol/keys.ts'
import { LATE_MS } from '../tunnel/backend.ts'

export interface Left {
  readonly device: DeviceId
  readonly untilMs: number
}

export interface Handed {
  readonly holders: ReadonlyMap<Prefix, DeviceId>
  readonly left: ReadonlyMap<Prefix, Left>
}

export const NOTHING_HANDED: Handed = { holders: new Map(), left: new Map() }

/** Total. @param holders of each prefix now; one that somebody had and nobody has leaves nothing */
export function handed(
  before: Handed,
  holders: ReadonlyMap<Prefix, DeviceId>,
  nowMs: number,
): Handed {
  const left = [...holders].flatMap(([prefix, holder]): [Prefix, Left][] => {
    const last = before.holders.get(prefix)
    if (last !== undefined && last !== holder)
      return [[prefix, { device: last, untilMs: nowMs + LATE_MS }]]
    const known = before.left.get(prefix)
    return known === undefined || known.untilMs <= nowMs ? [] : [[prefix, known]]
  })
  return { holders, left: new Map(left) }
}

/** When the first of them ends; Infinity: never. */
export function handedDueMs({ left }: Handed): number {
  return Math.min(...[...left.values()].map(({ untilMs }) => untilMs))
}

/** Which device each prefix has left, of those whose time has not ended. */
export function leftAt({ left }: Handed, nowMs: number): ReadonlyMap<Prefix, DeviceId> {
  return new Map(
    [...left].flatMap(([prefix, { device, untilMs }]) =>
      untilMs > nowMs ? [[prefix, device]] : [],
    ),
  )
}
