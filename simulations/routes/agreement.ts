/** Agreement: in how many round trips observers of a move believe it: gossip itself in virtual time. */
import { summary } from '../statistics.ts'
import { convergenceInVirtualTime } from '../world/virtual-run.ts'

/** One way, milliseconds: all alike, and drawn for each link; the mean of either is the same. */
const NETWORKS = [
  [20, 20],
  [10, 30],
] as const
const ROUND_TRIP_MS = 40
/** What a node needs for a message, milliseconds, measured; links of a node; moves. */
const [PROCESSING_MS, DEGREE, MOVES] = [2, 12, 20]

export interface Agreement {
  /** One way, of a link: least and most. */
  readonly delayMs: readonly [number, number]
  readonly moves: number
  /** Of all observers of all moves, round trips. */
  readonly p50: number
  readonly p99: number
  readonly worst: number
  /** Observers that did not hear of a move. */
  readonly missing: number
}

export async function agreement(observers: number, seed: number): Promise<readonly Agreement[]> {
  const found: Agreement[] = []
  for (const delayMs of NETWORKS) {
    const links = { delayMs, loss: 0, processingMs: PROCESSING_MS }
    const run = { agents: observers + 1, degree: DEGREE, events: MOVES, links, seed }
    const { events } = await convergenceInVirtualTime(run)
    const moves = events.filter(({ kind }) => kind === 'moved /32')
    const { p50, p99, max } = summary(moves.flatMap(({ latenciesMs }) => latenciesMs))
    found.push({
      ...{ delayMs, moves: moves.length },
      ...{ p50: p50 / ROUND_TRIP_MS, p99: p99 / ROUND_TRIP_MS, worst: max / ROUND_TRIP_MS },
      missing: moves.reduce((sum, { missing }) => sum + missing, 0),
    })
  }
  return found
}

export const AGREEMENT_HEADS = [
  ...['links, ms of round trip', 'moves', 'round trips: median', 'p99', 'worst'],
  'did not hear',
]

export function agreementRow(found: Agreement): readonly string[] {
  const [least, most] = found.delayMs.map((ms) => 2 * ms)
  return [
    least === most ? `${least}` : `${least} to ${most}, mean ${ROUND_TRIP_MS}`,
    String(found.moves),
    ...[found.p50, found.p99, found.worst].map((trips) => trips.toFixed(2)),
    String(found.missing),
  ]
}
