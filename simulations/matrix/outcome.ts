/** What the echoes of one run tell: did it connect, when, and by which way. Pure. */
import type { Echo } from '../lab/probe.ts'

export interface Outcome {
  readonly path: 'direct' | 'relayed' | 'failed'
  /** From the start to the first answer, milliseconds. */
  readonly firstMs?: number
  /** From the start to the first answer that came by the direct way; where it ended there. */
  readonly directMs?: number
  /** The shortest of the last answers. */
  readonly roundTripMs?: number
  /** Echoes sent after the first answer that had none. */
  readonly lost: number
}

/** The way is judged by the shortest of so many: a busy machine adds to a round trip, nothing takes away. */
const LAST = 20
/** An echo sent later than this before the end may still be on its way. */
const UNDER_WAY_MS = 1000

interface Answered extends Echo {
  readonly receivedMs: number
}

/** @param directBelowMs round trips that no relay can have
 *  @param endMs when the last echo was looked for */
export function outcomeOf(
  echoes: readonly Echo[],
  startMs: number,
  endMs: number,
  directBelowMs: number,
): Outcome {
  const answers = echoes.filter(isAnswered).toSorted((a, b) => a.receivedMs - b.receivedMs)
  const [first] = answers
  if (first === undefined) return { path: 'failed', lost: 0 }
  const roundTripMs = Math.min(...answers.slice(-LAST).map(roundTrip))
  const isDirect = roundTripMs < directBelowMs
  const direct = answers.find((each) => roundTrip(each) < directBelowMs)
  const lost = echoes.filter(
    (each) =>
      each.sentMs > first.receivedMs &&
      each.sentMs < endMs - UNDER_WAY_MS &&
      each.receivedMs === undefined,
  ).length
  return {
    path: isDirect ? 'direct' : 'relayed',
    firstMs: first.receivedMs - startMs,
    ...(isDirect && direct !== undefined ? { directMs: direct.receivedMs - startMs } : {}),
    roundTripMs,
    lost,
  }
}

function isAnswered(echo: Echo): echo is Answered {
  return echo.receivedMs !== undefined
}

function roundTrip({ sentMs, receivedMs }: Answered): number {
  return receivedMs - sentMs
}
