/** Redial: trying again for ever, with a bounded backoff. */
import type { Cancellable, Clock } from '../../protocol/clock.ts'

/** Milliseconds before the second try; doubled for each further one. */
const FIRST_MS = 500
const LONGEST_MS = 30_000
/** Part of a delay that chance takes off: devices that lost the same peer come back one by one. */
const JITTER = 0.3
/** Milliseconds after which a connection that was lost counts as one that had worked. */
const WORKED_MS = 10_000
/** Milliseconds before what had worked is tried again: the other end may be restarting. */
const AGAIN_MS = 50

/** For a try that costs more than itself: after so many failures in a row it rests. */
export interface Rest {
  readonly after: number
  /** Milliseconds of the first rest; doubled for each further one. */
  readonly firstMs: number
  /** Milliseconds, as of now. */
  longestMs(): number
}

/** From 0 to 1 without 1. */
export function fraction(random: (n: number) => Uint8Array): number {
  const [a = 0, b = 0, c = 0] = random(3)
  return ((a << 16) | (b << 8) | c) / 2 ** 24
}

/** Milliseconds to wait after failure number `failures` (from 1). `chance` is from 0 to 1. */
export function redialDelay(failures: number, chance: number, rest?: Rest): number {
  const isResting = rest !== undefined && failures >= rest.after
  const full = isResting
    ? grown(rest.firstMs, failures - rest.after, rest.longestMs())
    : grown(FIRST_MS, failures - 1, LONGEST_MS)
  return full * (1 - JITTER * chance)
}

function grown(firstMs: number, doublings: number, longestMs: number): number {
  return Math.min(longestMs, firstMs * 2 ** Math.min(doublings, 10))
}

export interface Redial {
  /** Something has changed: try at once, and be eager again. */
  hint(): void
  /** Something may have changed: a rest is over. */
  rouse(): void
  /** What a try had won is lost after `livedMs`. */
  lost(livedMs: number): void
  stop(): void
}

/** Tries until `attempt` says that nothing is wanted any more, then waits for `hint` or `lost`.
 *  `attempt` must not reject; the signal tells it that a better one waits, or that all has ended. */
export function startRedial(
  attempt: (failures: number, signal: AbortSignal) => Promise<boolean>,
  clock: Clock,
  random: (n: number) => Uint8Array,
  rest?: Rest,
): Redial {
  let failures = 0
  let running: AbortController | undefined
  let hinted = false
  let stopped = false
  let timer: Cancellable | undefined
  const schedule = (ms: number): void => {
    timer?.cancel()
    timer = stopped ? undefined : clock.after(ms, run)
  }
  const run = (): void => {
    timer = undefined
    running = new AbortController()
    void attempt(failures, running.signal).then((satisfied) => {
      running = undefined
      failures = satisfied || hinted ? 0 : failures + 1
      if (hinted) schedule(0)
      else if (!satisfied) schedule(redialDelay(failures, fraction(random), rest))
      hinted = false
    })
  }
  return {
    hint: () => {
      failures = 0
      hinted = running !== undefined
      if (running === undefined) schedule(0)
      else running.abort(new Error('something better to try'))
    },
    rouse: () => {
      if (timer === undefined || rest === undefined || failures < rest.after) return
      failures = 0
      schedule(0)
    },
    lost: (livedMs) => {
      if (running !== undefined || timer !== undefined) return
      if (livedMs < WORKED_MS) failures += 1
      schedule(livedMs < WORKED_MS ? redialDelay(failures, fraction(random), rest) : AGAIN_MS)
    },
    stop: () => {
      stopped = true
      timer?.cancel()
      running?.abort(new Error('no more tries'))
    },
  }
}
