/** Once per turn: for news that come in bunches. */
import type { Clock } from '../../protocol/clock.ts'

/** Many changes at once are told once. */
export function oncePerTurn(clock: Clock, ended: AbortSignal, task: () => void): () => void {
  let isWaiting = false
  return () => {
    if (isWaiting) return
    isWaiting = true
    clock.after(0, () => {
      isWaiting = false
      if (!ended.aborted) task()
    })
  }
}
