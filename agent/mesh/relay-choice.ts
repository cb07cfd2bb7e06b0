/** Which relays to send by: pure, from what is known of each. */

export interface RelayEvidence {
  /** One relay, whatever the connection. */
  readonly id: string
  readonly name: string
  /** Is it the device itself at the other end? Then how is it linked? */
  readonly to: 'itself' | 'itself-by-circuit' | 'others'
  readonly isRegistry: boolean
  /** The relay has fallen silent. */
  readonly isDoubted: boolean
  /** Monotonic milliseconds: a datagram of the device came this way. */
  readonly heardAt: number | undefined
  /** Monotonic milliseconds: the relay said it does not reach the device. */
  readonly unreachableAt: number | undefined
  /** Through the relay to the device and back, milliseconds; undefined before the first answer. */
  readonly roundTripMs: number | undefined
  /** Monotonic milliseconds: a check through the relay was answered. */
  readonly answeredAt: number | undefined
  /** Monotonic milliseconds: the first check since then. */
  readonly askedAt: number | undefined
}

/** Milliseconds for which "unreachable here" holds. */
export const UNREACHABLE_MS = 2000
/** Milliseconds for which a relay that brought something is trusted to take something. */
export const HEARD_MS = 30_000
/** Milliseconds for which a measured round trip counts: two looks at a relay that is only kept warm. */
export const ANSWERED_MS = 90_000
/** Relays tried at once while none is proved: WireGuard drops what arrives twice. */
export const AT_ONCE = 3
/** Another relay must be faster by a quarter and 2 ms. */
const FASTER_RATIO = 0.75
const MARGIN_MS = 2
/** A check is late after three round trips, at least and at most so many milliseconds. */
const LATE_TRIPS = 3
const LEAST_LATE_MS = 400
const MOST_LATE_MS = 1500

/** Is there no reason to think that the relay does not reach the device? */
export function mayReach(relay: RelayEvidence, now: number): boolean {
  return relay.unreachableAt === undefined || now - relay.unreachableAt >= UNREACHABLE_MS
}

/** The one proved relay, or a few that may be right; empty when all have said no. Of equals the order
 *  given decides.
 *  @param current id of the relay used so far: it stays unless another is clearly faster */
export function chooseRelays<R extends RelayEvidence>(
  relays: readonly R[],
  now: number,
  current?: string,
): readonly R[] {
  const open = relays.filter((relay) => mayReach(relay, now))
  const sound = open.filter((relay) => !relay.isDoubted && !isLate(relay, now))
  const pool = sound.length > 0 ? sound : open
  const itself = pool.find(({ to }) => to === 'itself')
  if (itself !== undefined) return [itself]
  const all = pool.filter((relay) => isProved(relay, now))
  // A circuit goes by a relay as well, with an encryption more and never by UDP.
  const straight = all.filter(({ to }) => to === 'others')
  const proved = straight.length > 0 ? straight : all
  const [best] = proved.toSorted((a, b) => roundTripOf(a) - roundTripOf(b) || rank(a) - rank(b))
  const used = proved.find(({ id }) => id === current)
  if (best === undefined)
    return firstOfEach(pool.toSorted((a, b) => rank(a) - rank(b))).slice(0, AT_ONCE)
  return [used !== undefined && !isFaster(best, used) ? used : best]
}

/** One way to each relay, that which is there for longer: what comes by two is one datagram too many. */
function firstOfEach<R extends RelayEvidence>(relays: readonly R[]): readonly R[] {
  return relays.filter(({ id }, index) => relays.findIndex((each) => each.id === id) === index)
}

function isProved({ heardAt, answeredAt }: RelayEvidence, now: number): boolean {
  if (heardAt !== undefined && now - heardAt < HEARD_MS) return true
  return answeredAt !== undefined && now - answeredAt < ANSWERED_MS
}

/** A check through it should have been answered, and nothing else of the device came this way meanwhile. */
export function isLate({ askedAt, heardAt, roundTripMs }: RelayEvidence, now: number): boolean {
  if (askedAt === undefined || (heardAt !== undefined && heardAt >= askedAt)) return false
  const trips = roundTripMs === undefined ? MOST_LATE_MS : LATE_TRIPS * roundTripMs
  return now - askedAt >= Math.min(MOST_LATE_MS, Math.max(LEAST_LATE_MS, trips))
}

function isFaster(other: RelayEvidence, used: RelayEvidence): boolean {
  return roundTripOf(other) < roundTripOf(used) * FASTER_RATIO - MARGIN_MS
}

function roundTripOf({ roundTripMs }: RelayEvidence): number {
  return roundTripMs ?? Number.MAX_VALUE
}

/** Everybody is at the registry; a circuit goes through a relay with an encryption more. */
function rank({ to, isRegistry }: RelayEvidence): number {
  if (to === 'itself-by-circuit') return 2
  return isRegistry ? 0 : 1
}
