/** Keep listening: a port that is taken is tried again until it is free; said once, not every second. */
import { setImmediate } from 'node:timers/promises'
import type { Clock } from '../../protocol/clock.ts'
import type { Log } from '../../protocol/log.ts'
import { explain } from '../errors.ts'

/** Milliseconds between two tries. */
const RETRY_MS = 1000

export interface Listening extends AsyncDisposable {
  /** Resolves after the first try, however it ended. */
  readonly tried: Promise<void>
}

/** @param name for the log, what is listened on */
export function keepListening(
  start: () => Promise<AsyncDisposable> | AsyncDisposable,
  { name, clock, log }: { readonly name: string; readonly clock: Clock; readonly log: Log },
): Listening {
  const stop = new AbortController()
  const first = Promise.withResolvers<void>()
  const run = async (): Promise<void> => {
    let isTold = false
    while (!stop.signal.aborted) {
      try {
        await using _started = await start()
        log('info', 'proxy.listening', { name })
        first.resolve()
        await aborted(stop.signal)
      } catch (error) {
        if (!isTold) log('warn', 'proxy.listen-failed', { name, reason: explain(error) })
        isTold = true
        first.resolve()
        await clock.sleep(RETRY_MS, stop.signal).catch(() => {})
      }
    }
  }
  const running = setImmediate().then(run)
  return {
    tried: first.promise,
    [Symbol.asyncDispose]: async () => {
      stop.abort()
      first.resolve()
      await running
    },
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}
