/** Reach health: does something answer, judged by the echoes of one asker. Pure. One that is lost says nothing; several
 *  in a row, asked for in quick succession after the first, say that it is down. */

export interface ReachHealth {
  readonly isUp: boolean
  /** Since when it is so, milliseconds of a monotonic clock. */
  readonly sinceMs: number
  /** Unanswered in a row. */
  readonly unanswered: number
  readonly firstUnansweredMs: number
  readonly answeredMs: number
  /** For how long it answered without a break, up to its last answer, milliseconds. Still known when it is down. */
  readonly provedMs: number
  /** Of the last answer. */
  readonly roundTripMs: number | undefined
}

/** So many unanswered in a row, over so many milliseconds at least. At 5 % of loss each way four are lost in a row once
 *  in three hours of asking every second. */
export const DOWN_AFTER = { unanswered: 4, ms: 700 } as const
/** Milliseconds between echoes: of what is in use; of what is not; after one that is overdue. */
export const ASK_MS = { used: 1000, resting: 15_000, doubted: 250 } as const
/** An echo is overdue after three round trips, within these bounds. Milliseconds. */
export const OVERDUE_MS = { least: 250, most: 800 } as const
/** No answer is waited for longer, milliseconds. */
export const GIVEN_UP_MS = 2000

/** Taken for up until it shows otherwise. */
export function unasked(nowMs: number): ReachHealth {
  return {
    isUp: true,
    sinceMs: nowMs,
    unanswered: 0,
    firstUnansweredMs: Infinity,
    answeredMs: -Infinity,
    provedMs: 0,
    roundTripMs: undefined,
  }
}

export function answered(health: ReachHealth, roundTripMs: number, nowMs: number): ReachHealth {
  const { sinceMs, answeredMs, provedMs } = health
  const isUnbroken = health.isUp && health.unanswered === 0
  return {
    isUp: true,
    sinceMs: isUnbroken ? sinceMs : nowMs,
    unanswered: 0,
    firstUnansweredMs: Infinity,
    answeredMs: nowMs,
    provedMs: isUnbroken && answeredMs !== -Infinity ? provedMs + nowMs - answeredMs : 0,
    roundTripMs,
  }
}

/** An echo is overdue. An answer that comes later still counts. */
export function overdue(health: ReachHealth, nowMs: number): ReachHealth {
  const unanswered = health.unanswered + 1
  const firstUnansweredMs = Math.min(health.firstUnansweredMs, nowMs)
  const isDown = unanswered >= DOWN_AFTER.unanswered && nowMs - firstUnansweredMs >= DOWN_AFTER.ms
  const isUp = health.isUp && !isDown
  return {
    ...health,
    isUp,
    sinceMs: isUp === health.isUp ? health.sinceMs : nowMs,
    unanswered,
    firstUnansweredMs,
  }
}

/** Milliseconds until an echo sent now is overdue. */
export function overdueAfterMs({ roundTripMs }: ReachHealth): number {
  if (roundTripMs === undefined) return OVERDUE_MS.most
  return Math.min(OVERDUE_MS.most, Math.max(OVERDUE_MS.least, 3 * roundTripMs))
}

/** Milliseconds from one echo to the next. */
export function askAgainMs({ isUp, unanswered }: ReachHealth, isUsed: boolean): number {
  if (isUp && unanswered > 0) return ASK_MS.doubted
  return isUsed ? ASK_MS.used : ASK_MS.resting
}
