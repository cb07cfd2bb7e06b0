/** Paced log: lines about one member or peer no more often than a person can read them. What others do makes them:
 *  whoever changes its paths all day must not fill the disk. */
import type { Clock } from '../protocol/clock.ts'
import type { Log } from '../protocol/log.ts'
import { Pace } from '../protocol/pace.ts'

/** Of one event about one of them; a host that moves a lot makes a few in a minute. */
const LINES = { burst: 60, perSecond: 1 / 20 } as const
/** Whom a line is about. */
const ABOUT = ['peer', 'device', 'name', 'relay', 'organization'] as const
/** Kept back and not told yet; the oldest are never told. */
const REMEMBERED = 1024

/** What is kept back is counted in the next line of its kind. */
export function pacedLog(log: Log, clock: Pick<Clock, 'monotonicMs'>): Log {
  const pace = new Pace(LINES)
  const kept = new Map<string, number>()
  return (level, event, fields) => {
    const about = ABOUT.map((field) => fields?.[field]).find((one) => typeof one === 'string')
    if (about === undefined || level === 'debug') return log(level, event, fields)
    const key = `${event} ${about}`
    const count = kept.get(key) ?? 0
    if (pace.spend(key, 1, clock.monotonicMs())) {
      kept.delete(key)
      return log(level, event, count === 0 ? fields : { ...fields, notLogged: count })
    }
    const oldest = kept.keys().next()
    if (!kept.has(key) && kept.size >= REMEMBERED && oldest.done !== true) kept.delete(oldest.value)
    kept.set(key, count + 1)
  }
}
