/** Mapping lifetime (RFC 5780 §4.6): which waits to try, and what their outcomes say. Several are tried at
 *  once, each on a mapping of its own, for a try that failed has ended its mapping. Seconds. */

/** What is tried first, as far as it is asked for. */
const FIRST_WAITS = [5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 300, 420, 600, 900]
/** Between the longest wait that a mapping outlived and the shortest that it did not, in the next round. */
const INNER_WAITS = 3
/** Near enough: a tenth of it, or a second. */
const PRECISION = 0.1
const LEAST_PRECISION = 1

export const LIFETIME_LIMITS = { least: 5, most: 900, usual: 300 } as const

export interface Outcome {
  readonly wait: number
  readonly isAlive: boolean
}

export interface Lifetime {
  /** The longest wait that a mapping outlived; 0: none did. */
  readonly atLeast: number
  /** The shortest longer wait that it did not outlive; undefined: it outlived all. */
  readonly lessThan: number | undefined
}

/** That a mapping lived is proof; that it did not may have been a lost packet, so a longer wait overrules it. */
export function lifetimeOf(outcomes: readonly Outcome[]): Lifetime {
  const alive = outcomes.filter(({ isAlive }) => isAlive).map(({ wait }) => wait)
  const atLeast = Math.max(0, ...alive)
  const dead = outcomes.filter(({ wait, isAlive }) => !isAlive && wait > atLeast)
  const lessThan = dead.length === 0 ? undefined : Math.min(...dead.map(({ wait }) => wait))
  return { atLeast, lessThan }
}

/** To be tried at once; none: it is known well enough. */
export function nextWaits(outcomes: readonly Outcome[], longest: number): readonly number[] {
  if (outcomes.length === 0) {
    return [...FIRST_WAITS.filter((wait) => wait < longest), longest]
  }
  const { atLeast, lessThan } = lifetimeOf(outcomes)
  if (lessThan === undefined) return []
  const width = lessThan - atLeast
  if (width <= Math.max(LEAST_PRECISION, lessThan * PRECISION)) return []
  const step = width / (INNER_WAITS + 1)
  return Array.from({ length: INNER_WAITS }, (_, index) => atLeast + step * (index + 1))
}

/** Has this round said enough: did two waits in a row end a mapping, the longest not tried yet? */
export function isRoundDecided(outcomes: readonly Outcome[]): boolean {
  const { atLeast } = lifetimeOf(outcomes)
  return outcomes.filter(({ wait, isAlive }) => !isAlive && wait > atLeast).length >= 2
}

/** The longest that a measurement takes. */
export function longestMeasurement(longest: number): number {
  return 2 * longest + 60
}
