/** Within: waits for something that may take too long to wait for. */
import type { Clock } from '../protocol/clock.ts'

/** Resolves when the task has, or after `ms` with the task under way still. Throws what the task throws till then. */
export async function within(
  task: Promise<unknown>,
  ms: number,
  clock: Pick<Clock, 'sleep'>,
): Promise<void> {
  const waited = new AbortController()
  const late = clock.sleep(ms, waited.signal).catch(() => undefined)
  try {
    await Promise.race([task, late])
  } finally {
    waited.abort()
  }
}
