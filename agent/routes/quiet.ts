/** Quiet: whether others have stopped to use what this device carried for them. */
import type { Prefix } from '../../protocol/address.ts'
import type { Clock } from '../../protocol/clock.ts'

export interface Carrying {
  /** Does this device still hold, or answer for, the host prefix? */
  isHeld(prefix: Prefix): boolean
  /** Forwarded so far; undefined: nothing is forwarded here. */
  packetsTo(prefix: Prefix): Promise<number | undefined>
}

/** Milliseconds: between looks; everybody has heard of it by then, and what was under way has arrived; nothing came for so
 *  long. */
const [LOOK_MS, HEARD_MS, QUIET_MS] = [100, 1000, 500]

/** Resolves with true when nothing passes any more, with false after `withinMs`. At once where nobody else takes it. */
export async function awaitQuiet(
  prefixes: readonly Prefix[],
  carrying: Carrying,
  clock: Pick<Clock, 'monotonicMs' | 'sleep'>,
  withinMs: number,
): Promise<boolean> {
  if (prefixes.length === 0) return true
  const begunMs = clock.monotonicMs()
  let [counted, changedMs] = [await count(prefixes, carrying), begunMs]
  for (;;) {
    await clock.sleep(LOOK_MS)
    const nowMs = clock.monotonicMs()
    const now = await count(prefixes, carrying)
    if (now !== counted || prefixes.some((prefix) => carrying.isHeld(prefix))) changedMs = nowMs
    counted = now
    if (nowMs - begunMs >= HEARD_MS && nowMs - changedMs >= QUIET_MS) return true
    if (nowMs - begunMs >= withinMs) return false
  }
}

async function count(prefixes: readonly Prefix[], { packetsTo }: Carrying): Promise<number> {
  const counts = await Promise.all(prefixes.map((prefix) => packetsTo(prefix)))
  return counts.reduce<number>((sum, packets) => sum + (packets ?? 0), 0)
}
