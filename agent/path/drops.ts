/** Counts what was dropped, by reason, and tells of it once a minute: a flood must not flood the log. */
import type { Log } from '../../protocol/log.ts'

const TELL_MS = 60_000

export interface DropCounter {
  count(reason: string, nowMs: number): void
  /** Since the start, by reason. */
  readonly counts: ReadonlyMap<string, number>
}

export function newDropCounter(event: string, log: Log): DropCounter {
  const counts = new Map<string, number>()
  let toldMs = -Infinity
  return {
    counts,
    count: (reason, nowMs) => {
      counts.set(reason, (counts.get(reason) ?? 0) + 1)
      if (nowMs - toldMs < TELL_MS) return
      toldMs = nowMs
      log('debug', event, Object.fromEntries(counts))
    },
  }
}
