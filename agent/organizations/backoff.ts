/** Backoff: when a process that ended is started again. Pure. */

export interface Endings {
  /** One after the other, each after a short run. */
  readonly count: number
}

export const NO_ENDINGS: Endings = { count: 0 }

export const BACKOFF = {
  /** Milliseconds. */
  first: 1000,
  most: 60_000,
  /** A run of this length is no failure to start. */
  steady: 60_000,
} as const

/** @param ranMs how long it ran */
export function nextStart(
  { count }: Endings,
  ranMs: number,
): { readonly endings: Endings; readonly delayMs: number } {
  const before = ranMs >= BACKOFF.steady ? 0 : count
  return {
    endings: { count: before + 1 },
    delayMs: Math.min(BACKOFF.most, BACKOFF.first * 2 ** Math.min(before, 16)),
  }
}
