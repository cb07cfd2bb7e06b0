/** How long after an event echoes flow again: pure. */
import type { Echo } from '../lab/probe.ts'

/** So many answered one after another make a flow: one that slipped through makes none. */
const STEADY = 10

/** Milliseconds from the event to the answer that begins a steady flow of echoes sent after it; undefined
 *  where there is none yet. */
export function recoveredMs(echoes: readonly Echo[], eventMs: number): number | undefined {
  const after = echoes.filter(({ sentMs }) => sentMs >= eventMs)
  let run = 0
  for (const [index, { receivedMs }] of after.entries()) {
    run = receivedMs === undefined ? 0 : run + 1
    if (run < STEADY) continue
    const begun = after[index - STEADY + 1]?.receivedMs
    return begun === undefined ? undefined : begun - eventMs
  }
  return undefined
}

/** Both directions: the later of the two. */
export function bothRecoveredMs(
  there: readonly Echo[],
  back: readonly Echo[],
  eventMs: number,
): number | undefined {
  const [one, other] = [recoveredMs(there, eventMs), recoveredMs(back, eventMs)]
  return one === undefined || other === undefined ? undefined : Math.max(one, other)
}

/** Are the last echoes answered, but for those that may be under way? */
export function isFlowing(echoes: readonly Echo[], nowMs: number, underWayMs = 500): boolean {
  const due = echoes.filter(({ sentMs }) => sentMs < nowMs - underWayMs).slice(-2 * STEADY)
  return due.length === 2 * STEADY && due.every(({ receivedMs }) => receivedMs !== undefined)
}

/** Echoes of a stretch of time that were never answered. */
export function lostBetween(echoes: readonly Echo[], fromMs: number, toMs: number): number {
  return echoes.filter(
    ({ sentMs, receivedMs }) => sentMs >= fromMs && sentMs < toMs && receivedMs === undefined,
  ).length
}
