/** Counters of an idle agent, and what they say of more agents. Pure. */
import { z } from 'zod'

const COUNTED = z.object({ bytes: z.number() })
const LINKS = z.array(z.object({ stats64: z.object({ rx: COUNTED, tx: COUNTED }) })).length(1)

/** Received and sent together, from `ip -s -j link show dev …`. Throws where it is something else. */
export function bytesOf(shown: string): number {
  const [link] = LINKS.parse(JSON.parse(shown))
  return (link?.stats64.rx.bytes ?? 0) + (link?.stats64.tx.bytes ?? 0)
}

/** On the line through two points; never less than the second, for more members do not cost less. */
export function extrapolated(
  points: readonly (readonly [x: number, y: number])[],
  at: number,
): number {
  const [one, other] = points
  if (one === undefined || other === undefined || one[0] === other[0])
    throw new Error('a line needs two points')
  const slope = (other[1] - one[1]) / (other[0] - one[0])
  return Math.max(other[1], other[1] + slope * (at - other[0]))
}

/** Bytes of a process in memory, from its `/proc/…/status`; 0 where it has ended. */
export function memoryOf(status: string): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024
}

/** Seconds of a process and of those that it started and that have ended, from its `/proc/…/stat` (proc_pid_stat(5),
 *  fields 14 to 17); 0 where it has ended itself: then its parent has them. */
export function cpuSecondsWithChildren(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const ticks = fields.slice(11, 15).map(Number)
  return ticks.length < 4 ? 0 : ticks.reduce((sum, each) => sum + each, 0) / 100
}
