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

/** In a minute; a peer whose key has just changed makes some, too. */
const MANY = 100
/** Names remembered; the one that was quiet for longest goes first. */
const REMEMBERED = 1024

export interface FloodLog {
  /** @param name of the member at fault, or of the one in whose name it was done */
  count(event: string, name: string, nowMs: number, fields?: Record<string, unknown>): void
}

/** Warns of whoever does too much of something, once a minute each, with how much it was. @param many so often in a
 *  minute is worth a line */
export function newFloodLog(log: Log, many = MANY): FloodLog {
  const floods = new Map<string, { count: number; sinceMs: number; isTold: boolean }>()
  return {
    count: (event, name, nowMs, fields = {}) => {
      const key = `${event} ${name}`
      const known = floods.get(key)
      const isOver = known === undefined || nowMs - known.sinceMs >= TELL_MS
      if (isOver && known?.isTold === true && known.count > 0)
        log('warn', event, { peer: name, count: known.count, ...fields })
      const flood = isOver ? { count: 0, sinceMs: nowMs, isTold: false } : known
      floods.delete(key)
      const oldest = floods.keys().next()
      if (floods.size >= REMEMBERED && oldest.done !== true) floods.delete(oldest.value)
      floods.set(key, flood)
      flood.count += 1
      if (flood.isTold || flood.count < many) return
      log('warn', event, { peer: name, count: flood.count, ...fields })
      Object.assign(flood, { isTold: true, count: 0 })
    },
  }
}
