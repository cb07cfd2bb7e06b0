/** Carrier: whether this device offers a prefix, by the link that it lies behind. Pure. A link without carrier ends the
 *  offer at once; it is made again when the carrier has stayed for a while, which doubles each time: a flapping cable
 *  moves nobody to and fro. */

/** A link of this host, as it is now. */
export interface Link {
  readonly name: string
  readonly hasCarrier: boolean
}

export interface Carrier {
  /** What the prefix was last seen behind: its route may go with the carrier. */
  readonly link: Link
  /** Since when the link is so, without a break, milliseconds. */
  readonly sinceMs: number
  readonly isOffered: boolean
  /** When it was offered last, milliseconds. */
  readonly offeredMs: number
  /** How long the carrier must stay after the last loss, milliseconds; 0: there was none. */
  readonly waitMs: number
}

/** Milliseconds that a carrier must have stayed after a loss: at first, which is longer than what is behind it takes to
 *  find this host again, and at most. */
export const STAY_MS = { first: 10_000, most: 600_000 } as const
/** A link that has carried for so long without fault is as good as new, milliseconds. */
export const FORGIVEN_MS = 600_000

/** Total. Undefined follows where no link is known: then the carrier says nothing of the prefix.
 *  @param link that it lies behind, or did so last; undefined: it is not known */
export function carrierAfter(
  before: Carrier | undefined,
  link: Link | undefined,
  nowMs: number,
): Carrier | undefined {
  if (link === undefined) return before
  const first = { link, sinceMs: nowMs, isOffered: true, offeredMs: nowMs, waitMs: 0 }
  const known = before ?? first
  const isSame = known.link.name === link.name && known.link.hasCarrier === link.hasCarrier
  const now: Carrier = { ...known, link, sinceMs: isSame ? known.sinceMs : nowMs }
  if (now.isOffered) return link.hasCarrier ? now : lost(now, nowMs)
  const isBack = carrierDueMs(now) <= nowMs
  return isBack ? { ...now, isOffered: true, offeredMs: nowMs } : now
}

function lost(carrier: Carrier, nowMs: number): Carrier {
  const { waitMs, offeredMs } = carrier
  const isForgiven = waitMs === 0 || nowMs - offeredMs >= FORGIVEN_MS
  const next = isForgiven ? STAY_MS.first : Math.min(waitMs * 2, STAY_MS.most)
  return { ...carrier, isOffered: false, waitMs: next }
}

/** When it changes by time alone; Infinity: never. */
export function carrierDueMs({ link, sinceMs, isOffered, waitMs }: Carrier): number {
  return isOffered || !link.hasCarrier ? Infinity : sinceMs + waitMs
}
