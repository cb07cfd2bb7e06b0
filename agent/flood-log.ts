/** Flood log: who does too much of something, told seldom: a flood must not flood the log. */
import type { Log } from '../protocol/log.ts'

const TELL_MS = 60_000
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
