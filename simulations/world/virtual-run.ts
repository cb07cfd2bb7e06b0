/** Virtual run: convergence on a clock and randomness of its own. */
import type { RunOptions, RunResult } from './convergence-run.ts'
import { seededRandom, takeOver, VirtualClock } from './virtual-clock.ts'

/** Real time and randomness are back when it resolves. */
export async function convergenceInVirtualTime(options: RunOptions): Promise<RunResult> {
  const clock = new VirtualClock()
  const random = seededRandom(options.seed)
  const giveBack = takeOver(clock, random)
  try {
    const { runConvergence } = await import('./convergence-run.ts')
    return await runConvergence(clock, random, options)
  } finally {
    giveBack()
  }
}
