/** Surplus connections: two ends that dial at the same time get two; one is enough. */
import { abortConnection } from '../../protocol/abort.ts'
import type { Cancellable, Clock } from '../../protocol/clock.ts'
import type { Link, LinkKind, Links } from './links.ts'

/** Milliseconds that a second connection may live: both ends must know of both. */
const SETTLE_MS = 2000
const CLOSE_MS = 1000

const RANK: Readonly<Record<LinkKind, number>> = { direct: 0, overlay: 1, circuit: 2 }

/** Of the links to one peer those to close. Both ends find the same: a direct one stays alone; beside an
 *  overlay one a circuit stays, because a tunnel that breaks takes the overlay with it.
 *  @param self own libp2p peer id as text */
export function surplusLinks(links: readonly Link[], self: string): readonly Link[] {
  const sorted = links.toSorted(
    (a, b) => RANK[a.kind] - RANK[b.kind] || lead(a, self) - lead(b, self) || a.sinceMs - b.sinceMs,
  )
  const [best] = sorted
  if (best === undefined) return []
  if (best.kind === 'direct') return sorted.slice(1)
  const kinds = new Set<LinkKind>()
  return sorted.filter(({ kind }) => {
    const isSecond = kinds.has(kind)
    kinds.add(kind)
    return isSecond
  })
}

/** Of like connections the one stays that the lower peer id dialled. */
function lead({ connection, peer }: Link, self: string): number {
  const dialler = connection.direction === 'outbound' ? self : peer
  return dialler === (self < peer ? self : peer) ? 0 : 1
}

/** Closes surplus links some time after they have come up. */
export function watchSurplus(links: Links, self: string, clock: Clock): { stop(): void } {
  const timers = new Set<Cancellable>()
  links.onUp(({ peer }) => {
    const timer = clock.after(SETTLE_MS, () => {
      timers.delete(timer)
      for (const { connection } of surplusLinks(links.to(peer), self)) {
        connection
          .close({ signal: AbortSignal.timeout(CLOSE_MS) })
          .catch((error: unknown) => abortConnection(connection, error as Error))
      }
    })
    timers.add(timer)
  })
  return {
    stop: () => {
      for (const timer of timers) timer.cancel()
    },
  }
}
