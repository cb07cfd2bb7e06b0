/** The system's clock. With the registry's, the only code of the product that reads it. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '../protocol/clock.ts'
import { seconds } from '../protocol/time.ts'

export const systemClock: Clock = {
  now: () => seconds(Math.floor(Date.now() / 1000)),
  nowMs: () => Date.now(),
  monotonicMs,
  sleep: (ms, signal) => sleep(ms, undefined, { signal }),
  every: (ms, task) => {
    const timer = setInterval(task, ms)
    return { cancel: () => clearInterval(timer) }
  },
  after: (ms, task) => {
    const timer = setTimeout(task, ms)
    return { cancel: () => clearTimeout(timer) }
  },
}

/** As `performance.now()`, whose module need not be loaded for it. */
function monotonicMs(): number {
  const [whole, nanoseconds] = process.hrtime()
  return whole * 1000 + nanoseconds / 1e6
}
