/** Time as the shells see it: the system's clock in the daemons, a virtual one in simulations. */
import type { Seconds } from './time.ts'

export interface Cancellable {
  /** Ends it; harmless when repeated or when it has already run. */
  cancel(): void
}

export interface Clock {
  /** Wall time, seconds since the epoch: for what is signed. */
  now(): Seconds
  /** Wall time, milliseconds since the epoch: for growing sequences and logs. */
  nowMs(): number
  /** Milliseconds on a clock that never jumps: for intervals. */
  monotonicMs(): number
  /** Resolves after `ms`; rejects with the signal's reason when it is aborted first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
  /** Runs `task` every `ms` until cancelled. */
  every(ms: number, task: () => void): Cancellable
  /** Runs `task` once after `ms` unless cancelled. */
  after(ms: number, task: () => void): Cancellable
}
