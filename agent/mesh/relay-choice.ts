/** Which relays to send by: pure, from what is known of each. */

export interface RelayEvidence {
  readonly name: string
  /** Is it the device itself at the other end? Then how is it linked? */
  readonly to: 'itself' | 'itself-by-circuit' | 'others'
  readonly isRegistry: boolean
  /** Monotonic milliseconds: a datagram of the device came this way. */
  readonly heardAt: number | undefined
  /** Monotonic milliseconds: the relay said it does not reach the device. */
  readonly unreachableAt: number | undefined
}

/** Milliseconds for which "unreachable here" holds. */
export const UNREACHABLE_MS = 2000
/** Milliseconds for which a relay that brought something is trusted to take something. */
export const HEARD_MS = 30_000
/** Relays tried at once while none is proved: WireGuard drops what arrives twice. */
export const AT_ONCE = 3

/** Is there no reason to think that the relay does not reach the device? */
export function mayReach(relay: RelayEvidence, now: number): boolean {
  return relay.unreachableAt === undefined || now - relay.unreachableAt >= UNREACHABLE_MS
}

/** The one proved relay, or a few that may be right; empty when all have said no. Of equals the order
 *  given decides. */
export function chooseRelays<R extends RelayEvidence>(
  relays: readonly R[],
  now: number,
): readonly R[] {
  const open = relays.filter((relay) => mayReach(relay, now))
  const itself = open.find(({ to }) => to === 'itself')
  if (itself !== undefined) return [itself]
  const proved = open
    .filter(({ heardAt }) => heardAt !== undefined && now - heardAt < HEARD_MS)
    .toSorted((a, b) => rank(a) - rank(b))
  const [best] = proved
  if (best !== undefined) return [best]
  return open.toSorted((a, b) => rank(a) - rank(b)).slice(0, AT_ONCE)
}

/** Everybody is at the registry; a circuit goes through a relay with an encryption more. */
function rank({ to, isRegistry }: RelayEvidence): number {
  if (to === 'itself-by-circuit') return 2
  return isRegistry ? 0 : 1
}
